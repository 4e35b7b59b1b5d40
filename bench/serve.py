#!/usr/bin/env python3
"""The registry beside nginx and docker-registry, all on loopback, one after the other in each round,
plain and with TLS: bench/serve.py GANTRY RESULTS

- a signature of 10 KB and an image of 100 MB, over 64 connections, from gantry and from nginx;
- the most memory that the registry had meanwhile;
- an image file of 200 MB pushed to gantry and to docker-registry, by curl, which does what each one's
  protocol asks for and no more, and by each one's own client;
- pages found and images looked up among 1,000 images and among 100,000.
"""

import glob
import hashlib
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import time

GANTRY, RESULTS = sys.argv[1], sys.argv[2]
BENCH = os.path.dirname(os.path.abspath(__file__))
RUNS = int(os.environ.get("RUNS", "3"))
DURATION = int(os.environ.get("DURATION", "5"))
ONLY = os.environ.get("ONLY", "fetch push many").split()
MB = 1_000_000
HOST = ["-H", "Host: example.com"]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def output(*command):
    return run(*command, stdout=subprocess.PIPE).stdout


def gantry(*arguments):
    return output(GANTRY, *arguments, "--quiet")


class Server:
    """A process on one port, or on one without TLS and one with it."""

    def __init__(self, name, probe, configure, command):
        ports = [self.free_port() for _ in range(2)]
        self.urls = [f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}"]
        write(f"{name}.conf", configure(*ports))
        with open(f"{name}.log", "ab") as log:
            self.process = subprocess.Popen([*command, f"{name}.conf"], stdout=log, stderr=log)
        for _ in range(200):
            if any(subprocess.run(["curl", "-skf", "-o", "/dev/null", url + probe]).returncode == 0 for url in self.urls):
                return
            time.sleep(0.05)
        sys.exit(f"bench: {name} does not come up")

    @staticmethod
    def free_port():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return listener.getsockname()[1]

    def peak_memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def nginx():
    here = os.getcwd()
    temporary = " ".join(f"{of}_temp_path {here}/tmp;" for of in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configure = lambda http, https: f"""
daemon off; worker_processes auto; pid {here}/nginx.pid; error_log {here}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; {temporary}
    root {here}/www;
    server {{ listen 127.0.0.1:{http}; }}
    server {{ listen 127.0.0.1:{https} ssl; ssl_certificate {here}/tls.pem; ssl_certificate_key {here}/tls.key; }}
}}
"""
    return Server("nginx", "/hundred.aci.asc", configure, ["nginx", "-p", here, "-c"])


def registry(data):
    """As everybody has it, but for the limits for one address: there is only one here."""
    here = os.getcwd()
    configure = lambda http, https: f"""
[server]
data = "{here}/{data}"
domains = ["example.com"]
listen = ["127.0.0.1:{https}"]
http = ["127.0.0.1:{http}"]
[tls]
certificate = "{here}/tls.pem"
key = "{here}/tls.key"
[access]
requests-per-second = 1000000000
request-burst = 1000000000
"""
    return Server("gantry", "/-/readyz", configure, [GANTRY, "registry", "serve", "--config"])


def docker_registry(tls):
    here = os.getcwd()
    configure = lambda http, https: json.dumps(
        {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": f"{here}/docker"}},
            "http": {
                "addr": f"127.0.0.1:{https if tls else http}",
                "secret": "bench",
                **({"tls": {"certificate": f"{here}/tls.pem", "key": f"{here}/tls.key"}} if tls else {}),
            },
        }
    )
    return Server("docker-registry", "/v2/", configure, ["docker-registry", "serve"])


def noise(size):
    return random.Random(size).randbytes(size)


def log_lines(size):
    """Lines as a server logs them."""
    some = random.Random(size)
    lines = []
    for at in range(20_000):
        lines.append(f"2026-11-26T10:{at // 60 % 60:02}:{at % 60:02}Z INFO request {some.getrandbits(64):016x} GET /{some.getrandbits(24):06x} 200 {some.randrange(99999)}\n")
    text = "".join(lines).encode()
    return b"".join(text[shift:] + text[:shift] for shift in range(0, 64 * (size // len(text) + 1), 64))[:size]


def libraries(size):
    """What this machine has of them, one after the other."""
    content = bytearray()
    for path in sorted(glob.glob("/usr/lib/*-linux-gnu/*.so*")):
        if len(content) < size and not os.path.islink(path):
            with open(path, "rb") as file:
                content += file.read()
    return content[:size]


def pack(name, content):
    """A signed image of this content: NAME.aci and NAME.aci.asc."""
    shutil.rmtree("image", ignore_errors=True)
    os.makedirs("image/rootfs")
    with open("image/rootfs/data", "wb") as file:
        file.write(content)
    labels = [{"name": "version", "value": "1.0.0"}]
    write("image/manifest", json.dumps({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"example.com/{name}", "labels": labels}))
    gantry("pack", "image", "-o", f"{name}.aci")
    gantry("sign", f"{name}.aci", "--key", "key")


def prepare():
    for folder in ("www", "tmp", "docker"):
        os.mkdir(folder)
    gantry("key", "generate", "--user-id", "bench <bench@example.com>", "--secret", "key", "--public", "key.pub")
    subject = ["-subj", "/CN=example.com", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:example.com,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tls.key"]
    run("openssl", "req", "-x509", *key, "-days", "2", *subject, "-out", "tls.pem", stderr=subprocess.DEVNULL)
    pack("hundred", noise(100 * MB))
    # A signature of 10 KB: an armor may hold comments, which are no part of what is signed.
    with open("hundred.aci.asc", encoding="ascii") as file:
        first, rest = file.read().split("\n", 1)
    comments = "".join(f"Comment: {'-' * 60}\n" for _ in range((10_240 - len(first) - len(rest)) // 70))
    write("hundred.aci.asc", f"{first}\n{comments}{rest}")
    gantry("registry", "keys", "add", "--data", "data", "--prefix", "example.com", "key.pub")
    token = gantry("registry", "token", "create", "--data", "data", "--prefix", "example.com", "--allow", "push")
    with open("token", "wb") as file:
        file.write(token.strip())


def push_with_gantry(file, url):
    gantry("push", file, "--token-file", "token", "--ca-file", "tls.pem", "--registry", url)


# What clients ask for: requests a second, bytes a second, seconds for one.


def ask(url, paths=None, connections=64):
    environment = {**os.environ, **({"PATHS": paths} if paths else {})}
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{DURATION}s", "--timeout", "30s", *HOST, "-s", f"{BENCH}/wrk.lua", url]
    said = run(*command, stdout=subprocess.PIPE, env=environment).stdout.decode()
    figures = next(line.split() for line in said.splitlines() if line.startswith("figures"))
    requests, size, latency, errors = (float(figure) for figure in figures[1:])
    if errors or not size:
        sys.exit(f"bench: {errors:.0f} errors from {url}:\n{said}")
    return requests, size, latency


def fetch():
    for name in ("hundred.aci", "hundred.aci.asc"):
        os.link(name, f"www/{name}")
    image = "/-/images/example.com/hundred:1.0.0.aci"
    figures = {}
    with registry("data") as ours, nginx() as theirs:
        push_with_gantry("hundred.aci", ours.urls[1])
        for path, file in ((image, "hundred.aci"), (image + ".asc", "hundred.aci.asc")):
            with open(file, "rb") as wanted:
                assert output("curl", "-sf", *HOST, ours.urls[0] + path) == wanted.read()
        for _ in range(RUNS):
            for at, way in enumerate(("plain", "TLS")):
                for what, path, file, unit in (
                    ("signature of 10 KB, requests/s", image + ".asc", "hundred.aci.asc", 0),
                    ("image of 100 MB, MB/s", image, "hundred.aci", 1),
                ):
                    for server, url in ((ours, ours.urls[at] + path), (theirs, f"{theirs.urls[at]}/{file}")):
                        figures.setdefault((f"{what}, {way}", server is ours), []).append(ask(url)[unit])
        memory = ours.peak_memory()
    print("| what, 64 connections | gantry | nginx | of nginx |\n|---|---:|---:|---:|")
    for what in dict.fromkeys(what for what, _ in figures):
        # The best of the rounds is the one that other work on the machine disturbed least.
        mine, other = (max(figures[what, who]) / (MB if "MB/s" in what else 1) for who in (True, False))
        print(f"| {what} | {mine:,.0f} | {other:,.0f} | {mine / other:.2f} |")
    print(f"\nMost memory that the registry had: {memory / 1048576:.1f} MiB.\n")
    return {"fetch": {f"{what} {'gantry' if who else 'nginx'}": all for (what, who), all in figures.items()}, "memory": memory}


# Pushes. Each goes to a registry that has nothing.


def curl_to_gantry(file, url):
    with open(file + ".asc", encoding="ascii") as signature:
        body = json.dumps({"signature": signature.read()})
    with open("token", encoding="ascii") as token:
        token = ["-H", f"Authorization: Bearer {token.read()}"]
    upload = json.loads(output("curl", "-skf", *HOST, *token, "-d", body, url + "/-/api/v1/uploads"))
    pushed = json.loads(output("curl", "-skf", *HOST, *token, "-T", file, url + upload["path"]))
    assert pushed["created"]


def curl_to_docker(file, url):
    """The digest is the client's to say, before the end; it is taken here within the time, as gantry's client does."""
    head = output("curl", "-skf", "-D", "-", "-o", "/dev/null", "-X", "POST", f"{url}/v2/bench/blobs/uploads/").decode()
    location = next(line.split(" ", 1)[1].strip() for line in head.splitlines() if line.lower().startswith("location:"))
    digest = f"sha256:{DIGESTS[file]}"
    kind = ["-H", "Content-Type: application/octet-stream"]
    run("curl", "-skf", "-T", file, *kind, f"{location}&digest={digest}")


def skopeo(file, url):
    run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"dir:{file}.dir", f"docker://{url.split('//')[1]}/bench:one")


DIGESTS = {}


def as_docker_image(file):
    """The same file as the one layer of an image in a folder that skopeo reads."""
    os.mkdir(f"{file}.dir")
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    DIGESTS[file] = digest
    os.link(file, f"{file}.dir/{digest}")
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}})
    config_digest = hashlib.sha256(config.encode()).hexdigest()
    write(f"{file}.dir/{config_digest}", config)
    write(f"{file}.dir/version", "Directory Transport Version: 1.1\n")
    kind = "application/vnd.docker."
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind + "distribution.manifest.v2+json",
        "config": {"mediaType": kind + "container.image.v1+json", "size": len(config), "digest": f"sha256:{config_digest}"},
        "layers": [{"mediaType": kind + "image.rootfs.diff.tar.gzip", "size": os.path.getsize(file), "digest": f"sha256:{digest}"}],
    }
    write(f"{file}.dir/manifest.json", json.dumps(manifest))


def push():
    # What there is of noise in a file is as large in it; of a log and of libraries, a third.
    pack("noise", noise(200 * MB))
    pack("log", log_lines(600 * MB))
    pack("libraries", libraries(570 * MB))
    shutil.copytree("data", "empty")
    files = ("noise.aci", "log.aci", "libraries.aci")
    for file in files:
        as_docker_image(file)
    figures = {}

    def timed(key, client, file, server, at):
        os.sync()
        begin = time.perf_counter()
        client(file, server.urls[at])
        figures.setdefault(key, []).append(time.perf_counter() - begin)

    for _ in range(RUNS):
        for file in files:
            for at, way in enumerate(("plain", "TLS")):
                for by, ours, theirs in (("curl", curl_to_gantry, curl_to_docker), ("client", push_with_gantry, skopeo)):
                    # Gantry's client speaks no HTTP.
                    if by == "client" and way == "plain":
                        continue
                    shutil.rmtree("fresh", ignore_errors=True)
                    shutil.copytree("empty", "fresh")
                    with registry("fresh") as server:
                        timed((file, way, by, "gantry"), ours, file, server, at)
                    shutil.rmtree("docker")
                    os.mkdir("docker")
                    with docker_registry(at == 1) as server:
                        timed((file, way, by, "docker-registry"), theirs, file, server, at)
    print("| push of | by | way | gantry, s | docker-registry, s | of docker-registry |\n|---|---|---|---:|---:|---:|")
    for file, way, by in dict.fromkeys(key[:3] for key in figures):
        mine, other = (min(figures[file, way, by, who]) for who in ("gantry", "docker-registry"))
        size = os.path.getsize(file) / MB
        print(f"| {file} ({size:.0f} MB) | {by} | {way} | {mine:.2f} | {other:.2f} | {mine / other:.2f} |")
    print()
    return {"push": {" ".join(key): all for key, all in figures.items()}}


# Many images.


def fill(data, images):
    """Makes as many of the one image that is there, ten versions of a name, in the catalogue alone: what
    is looked up is not what is sent."""
    base = sqlite3.connect(f"{data}/gantry.db")
    columns = [row[1] for row in base.execute("PRAGMA table_info(images)")]
    row = dict(zip(columns, base.execute("SELECT * FROM images LIMIT 1").fetchone()))

    def copies():
        for at in range(images):
            name, version = f"example.com/team{at // 1000}/app{at // 10 % 100}", f"{at % 10}.0.0"
            labels = [{"name": "version", "value": version}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
            image_id = "sha512-" + hashlib.sha512(str(at).encode()).hexdigest()
            canonical = row["labels_canonical"].replace("1.0.0", version)
            yield {**row, "sequence": at + 10, "image_id": image_id, "name": name, "version": version,
                   "labels": json.dumps(labels), "labels_canonical": canonical,
                   # The registry fills these in when it starts.
                   "version_order": "", "variant": ""}

    places = ", ".join(f":{column}" for column in columns)
    with base:
        base.executemany(f"INSERT INTO images ({', '.join(columns)}) VALUES ({places})", copies())
        base.execute("ANALYZE")
    base.close()


def many():
    counts = (1_000, 100_000)
    if "fetch" not in ONLY:
        with registry("data") as server:
            push_with_gantry("hundred.aci", server.urls[1])
    for count in counts:
        shutil.copytree("data", f"many-{count}")
        fill(f"many-{count}", count)
        some = random.Random(1).sample(range(count), 100)
        names = [(f"team{at // 1000}/app{at // 10 % 100}", at) for at in some]
        kinds = {
            "discovery": [f"/{name}?ac-discovery=1" for name, _ in names],
            "page of a parent": [f"/{name.split('/')[0]}?ac-discovery=1" for name, _ in names],
            "latest": [f"/-/images/example.com/{name},os=linux,arch=amd64.aci.asc" for name, _ in names],
            "exact version": [f"/-/images/example.com/{name}:{at % 10}.0.0,os=linux,arch=amd64.aci.asc" for name, at in names],
            "by image ID": [f"/-/blobs/sha512-{hashlib.sha512(str(at).encode()).hexdigest()}.aci.asc" for _, at in names],
            "home page": ["/?ac-discovery=1"],
        }
        for kind, paths in kinds.items():
            write(f"many-{count}.{kind}", "\n".join(paths))
    figures = {}
    for _ in range(RUNS):
        for count in counts:
            with registry(f"many-{count}") as server:
                for kind in kinds:
                    figures.setdefault((kind, count), []).append(ask(server.urls[0], f"many-{count}.{kind}", 1)[2])
    print("| one client, ms for each | of 1,000 images | of 100,000 | ratio |\n|---|---:|---:|---:|")
    for kind in kinds:
        few, lots = (min(figures[kind, count]) * 1000 for count in counts)
        print(f"| {kind} | {few:.3f} | {lots:.3f} | {lots / few:.2f} |")
    print()
    return {"many": {f"{kind} {count}": all for (kind, count), all in figures.items()}}


def main():
    folder = os.path.join(os.getcwd(), "serve")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    os.chdir(folder)
    try:
        prepare()
        figures = {}
        for part in (fetch, push, many):
            if part.__name__ in ONLY:
                figures |= part()
        with open(f"{RESULTS}/figures.json", "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    finally:
        os.chdir("/")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
