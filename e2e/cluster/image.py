#!/usr/bin/env python3
"""Makes a container image out of static binaries: one layer on nothing, in the format that `ctr images import`,
`docker load` and `podman load` take. The same input gives the same bytes.

The tag sha-<12 digits> is added to the one that is given: the image's own identity, so that a new
build has a new name and the same build the same.
"""

import argparse
import hashlib
import io
import json
import os
import tarfile


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="the tarball; written under another name first, then renamed")
    parser.add_argument("repository", help="the image's name without a tag")
    parser.add_argument("files", nargs="+", metavar="SOURCE[=TARGET]", help="TARGET: the path in the image, default /<file name>")
    parser.add_argument("--tag", default="e2e")
    parser.add_argument("--user", default="65532")
    parser.add_argument("--entry", help="the entrypoint, default the first file")
    parser.add_argument("--link", action="append", default=[], metavar="LINK=TARGET")
    parser.add_argument("--dir", action="append", default=[], help="a folder anybody may write")
    return parser.parse_intermixed_args()


def member(path, kind, mode, size=0, target=""):
    info = tarfile.TarInfo(path.lstrip("/"))  # time, owner and group stay 0
    info.type, info.mode, info.size, info.linkname = kind, mode, size, target
    return info


def pairs(args):
    for item in args.files:
        source, _, target = item.partition("=")
        yield source, target or "/" + os.path.basename(source)


def layer(args):
    buffer, made = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def folder(path, mode=0o755):
            if path in ("", "/") or path in made:
                return
            folder(os.path.dirname(path))
            made.add(path)
            tar.addfile(member(path, tarfile.DIRTYPE, mode))

        for path in args.dir:
            folder(path, 0o1777)
        for source, target in pairs(args):
            folder(os.path.dirname(target))
            with open(source, "rb") as file:
                data = file.read()
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            tar.addfile(member(target, tarfile.REGTYPE, mode, len(data)), io.BytesIO(data))
        for item in args.link:
            link, _, target = item.partition("=")
            folder(os.path.dirname(link))
            tar.addfile(member(link, tarfile.SYMTYPE, 0o777, target=target))
    return buffer.getvalue()


def main():
    args = arguments()
    content = layer(args)
    digest = hashlib.sha256(content).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": args.user,
            "WorkingDir": "/",
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin:/"],
            "Entrypoint": [args.entry or next(pairs(args))[1]],
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
    }
    config = json.dumps(config, sort_keys=True).encode()
    identity = hashlib.sha256(config).hexdigest()
    # Names that no other tarball has: imports that run side by side would block each other on a common one.
    config_name, layer_name = identity + ".json", digest + ".tar"
    tags = [f"{args.repository}:{args.tag}", f"{args.repository}:sha-{identity[:12]}"]
    manifest = json.dumps([{"Config": config_name, "RepoTags": tags, "Layers": [layer_name]}]).encode()
    with tarfile.open(args.output + ".part", "w") as tar:
        for name, data in (("manifest.json", manifest), (config_name, config), (layer_name, content)):
            tar.addfile(member(name, tarfile.REGTYPE, 0o644, len(data)), io.BytesIO(data))
    os.replace(args.output + ".part", args.output)
    print(tags[1])


main()
