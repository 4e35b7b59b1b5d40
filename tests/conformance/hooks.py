"""What no generator could guess: a signature that counts, and an image that is there."""

import os
import re

import schemathesis

SIGNATURE = os.environ["SIGNATURE"]
IMAGE_ID = os.environ["IMAGE_ID"]


@schemathesis.hook
def before_call(context, case, kwargs):
    path, body, parameters = case.operation.path, case.body, case.path_parameters or {}
    # Others would be good requests by their form, and refused for what they bring.
    if path == "/-/api/v1/uploads" and isinstance(body, dict):
        if isinstance(body.get("signature"), str):
            body["signature"] = SIGNATURE
    if path == "/-/api/v1/images/{id}/yank":
        if re.fullmatch("sha512-[0-9a-f]{128}", str(parameters.get("id"))):
            parameters["id"] = IMAGE_ID
