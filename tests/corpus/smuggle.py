"""`python -m tests.corpus.smuggle DIR` with a portal's environment: each file of DIR becomes a queued case past the gate, so
that the worker meets what the gate would have turned away. Prints {file: case}.
"""

import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import django


def main(folder: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pneumo_site.settings")
    django.setup()
    import hashlib

    from accounts.models import User
    from diagnostics import storage
    from diagnostics.models import Case

    doctor = User.objects.get(email="doctor@demo.example")
    made = {}
    for path in sorted(folder.iterdir()):
        content, case_id = path.read_bytes(), uuid4()
        storage.save_derived(storage.original_key(case_id), content)
        Case.objects.create(
            id=case_id,
            hospital=doctor.hospital,
            uploader=doctor,
            file_name="smuggled",
            original_key=storage.original_key(case_id),
            sha256=hashlib.sha256(content).hexdigest(),
            format=Case.Format.DICOM,
            size_bytes=len(content),
            width=1,
            height=1,
        )
        made[path.name] = str(case_id)
    print(json.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
