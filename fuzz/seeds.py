"""Turns the conformance vectors into seeds: seeds.py VECTORS CORPUS"""

import base64
import hashlib
import json
import pathlib
import sys

# Which targets a suite's texts are for.
TEXTS = {
    "names": "acidentifier ackind acname date hash os_arch semver url uuid app_image_string",
    "parts": "mountpoint port volume query_string",
    "quantities": "quantity",
    "reference": "app_image_string rkt_image_ref",
    "manifest": "image_manifest lastditch",
    "pod_manifest": "pod_manifest",
}

# Where in a manifest the JSON of a suite belongs.
IMAGE = '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",%s}'
APP = IMAGE % '"app":{"exec":["/a"],"user":"0","group":"0",%s}'
POD = '{"acKind":"PodManifest","acVersion":"0.8.11","apps":[],%s}'
WRAPPED = {
    "annotations": ("manifest", IMAGE % '"annotations":%s'),
    "dependencies": ("manifest", IMAGE % '"dependencies":[%s]'),
    "labels": ("manifest", IMAGE % '"labels":%s'),
    "app": ("manifest", IMAGE % '"app":%s'),
    "environment": ("manifest", APP % '"environment":%s'),
    "event_handler": ("manifest", APP % '"eventHandlers":[%s]'),
    "exec": ("manifest", APP % '"exec":%s'),
    "isolator": ("manifest", APP % '"isolators":[%s]'),
    "mountpoint": ("manifest", APP % '"mountPoints":[%s]'),
    "port": ("manifest", APP % '"ports":[%s]'),
    "volume": ("pod_manifest", POD % '"volumes":[%s]'),
}


def texts(value):
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def seeds(suite, case):
    given = case.get("input")
    for target, suites in TEXTS.items():
        if suite in suites.split():
            for text in texts(given):
                yield target, text
    if suite in WRAPPED and isinstance(given, str) and given[:1] in ("{", "["):
        target, form = WRAPPED[suite]
        if form.endswith("]}") and given.startswith("["):
            given = given[1:-1]
        yield target, form.replace("%s", given)
    if suite == "labels" and isinstance(given, str) and given.startswith("["):
        try:
            pairs = ["%s=%s" % (label["name"], label["value"]) for label in json.loads(given)]
        except (ValueError, KeyError, TypeError):
            return
        yield "labels", "\n".join(pairs)
    if suite == "discovery_template" and isinstance(given, dict):
        for text in texts(given):
            if "{" in text:
                yield "template", text + "\nexample.com/hello:1,os=linux,arch=amd64"
    if suite.startswith("discovery") and isinstance(given, dict):
        for text in texts(given):
            if "<" in text:
                yield "html", text
    if suite == "acirenderer" and isinstance(given, dict) and "images" in given:
        yield "plan", plan(given)
    if suite == "aci_layout" and case.get("op") == "detect":
        yield "compression", base64.b64decode(given)


def plan(given):
    """The images of a case as the target `plan` reads them, the rendered one first."""
    images = given["images"]
    order = [given["top"]] + [n for n in range(len(images)) if n != given["top"]]
    numbers = {images[n]["name"]: at for at, n in enumerate(order)}
    letters = {"dir": "d", "symlink": "l", "hardlink": "h"}
    lines = []
    for n in order:
        image = images[n]
        lines.append("i")
        for on in image.get("dependencies", []):
            lines.append("n%d" % numbers.get(on["imageName"], 5))
        lines += ["k" + path for path in image.get("pathWhitelist", [])]
        for entry in image.get("entries", []):
            letter = letters.get(entry["type"], "f")
            target = ">" + entry["link"] if letter == "h" else ""
            lines.append(letter + entry["name"] + target)
    return "\n".join(lines)


def main(vectors, corpus):
    count = 0
    for path in sorted(pathlib.Path(vectors).glob("*.json")):
        for case in json.loads(path.read_text()).get("vectors", []):
            for target, seed in seeds(path.stem, case):
                data = seed if isinstance(seed, bytes) else seed.encode()
                folder = pathlib.Path(corpus) / target
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)
                count += 1
    print("%d seeds from vectors" % count)


main(*sys.argv[1:])
