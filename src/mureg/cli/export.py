"""``mureg export``: a simulated case as a hospital would have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mureg.cli.common import Output, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.files.output import claimed
from mureg.files.places import refuse_foreign


@dataclass(frozen=True)
class Export:
    """Write a virtual patient as DICOM, with its truth, for mureg register and other programs.

    Attributes:
        case_folder: one folder of cases/ in a cohort.
        output: new folder for ct/, spect.dcm, truth.json and truth.tfm.

    Example:
        mureg export clinical/cases/clinical-000000 -o study
    """

    case_folder: tyro.conf.Positional[Path]
    output: Output
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = Export


def main(arguments: Sequence[str]) -> int:
    """Parse the options, export the case as DICOM, and print the result; returns the exit code."""
    options = parse("export", arguments, Export)
    from mureg.cohort.export import export_case
    from mureg.cohort.store.cohort import read_case

    with claimed(options.output, [options.case_folder]) as output:
        refuse_foreign(output, "", overwrite=False)
        case = read_case(options.case_folder)
        export_case(case, output)
    answer = {"case": case.name, "patient": case.study.patient, "output": str(options.output)}
    lines = [
        f"case {case.name} of patient {case.study.patient} in {options.output}",
        f"register it with: mureg register --spect {options.output / 'spect.dcm'} --ct {options.output / 'ct'} -o DIR",
    ]
    options.messages.emit(answer, lines)
    return 0
