#!/usr/bin/env python3
"""Makes an image file (docker-archive) of the cluster's own out of programs of this machine, without any engine.

image.py OUT.tar NAME:TAG ENTRYPOINT_JSON SRC[:DEST] ... [--libs] [--link DEST=TO ...]
  SRC:DEST        a file or a folder; DEST defaults to /basename for a file, to / for a folder
  --libs          also the shared libraries that the programs among SRC need, and their loader
  --link DEST=TO  a symbolic link
The same input gives the same bytes: times and owners are fixed. Images of the mesh come from `cargo xtask image`."""
import argparse
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile

FOLDERS = ('dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var')
PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('out')
    parser.add_argument('name')
    parser.add_argument('entrypoint', type=json.loads)
    parser.add_argument('src', nargs='*')
    parser.add_argument('--libs', action='store_true')
    parser.add_argument('--link', action='append', default=[])
    return parser.parse_intermixed_args()


def libraries(path):
    """The libraries and the loader of a program; none for scripts and static programs."""
    with open(path, 'rb') as file:
        if file.read(4) != b'\x7fELF':
            return []
    told = subprocess.run(['ldd', path], capture_output=True, text=True)
    if 'not found' in told.stdout:
        sys.exit(f'image.py: {path}: {told.stdout}')
    return re.findall(r'(?:=> |^\s+)(/\S+) \(', told.stdout, re.M)


class Layer:
    """The one layer: a tar in memory, every path once, folders before what is in them."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode='w')
        self.seen = set()
        for name in FOLDERS:
            self.folder(name, 0o1777 if name == 'tmp' else 0o755)

    def folder(self, name, mode=0o755):
        if name and name not in self.seen:
            self.folder(os.path.dirname(name))
            self.add(name, type=tarfile.DIRTYPE, mode=mode)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.add(name, type=tarfile.SYMTYPE, mode=0o777, linkname=target)

    def file(self, path, name):
        if name in self.seen:
            return
        self.folder(os.path.dirname(name))
        if os.path.islink(path):
            self.link(name, os.readlink(path))
            return
        with open(path, 'rb') as file:
            status = os.stat(path)
            self.add(name, file, size=status.st_size, mode=status.st_mode & 0o7777)

    def tree(self, path, name):
        for entry in sorted(os.listdir(path)):
            inner, inner_name = os.path.join(path, entry), os.path.join(name, entry)
            if os.path.isdir(inner) and not os.path.islink(inner):
                self.folder(inner_name, os.stat(inner).st_mode & 0o7777)
                self.tree(inner, inner_name)
            else:
                self.file(inner, inner_name)

    def add(self, name, data=None, **fields):
        self.seen.add(name)
        entry = tarfile.TarInfo(name)
        for key, value in fields.items():
            setattr(entry, key, value)
        self.tar.addfile(entry, data)

    def close(self):
        self.tar.close()
        return self.bytes.getvalue()


def fill(options):
    layer, needed = Layer(), []
    for source in options.src:
        path, _, dest = source.partition(':')
        if os.path.isdir(path):
            layer.tree(path, dest.strip('/'))
            continue
        path = os.path.realpath(path)
        layer.file(path, (dest or '/' + os.path.basename(path)).lstrip('/'))
        if options.libs:
            needed += libraries(path)
    for library in sorted(set(needed)):
        layer.file(os.path.realpath(library), library.lstrip('/'))
    for link in options.link:
        name, target = link.split('=', 1)
        layer.link(name.lstrip('/'), target)
    return layer.close()


def main():
    options = arguments()
    layer = fill(options)
    digest = hashlib.sha256(layer).hexdigest()
    machine = platform.machine()
    config = json.dumps({
        'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine),
        'os': 'linux',
        'config': {'Entrypoint': options.entrypoint, 'WorkingDir': '/', 'Env': [PATH]},
        'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + digest]},
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + '.json'
    layer_name = digest + '/layer.tar'
    manifest = [{'Config': config_name, 'RepoTags': [options.name], 'Layers': [layer_name]}]
    with tarfile.open(options.out + '.new', 'w') as tar:
        for name, data in ((config_name, config), (layer_name, layer), ('manifest.json', json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    os.replace(options.out + '.new', options.out)


main()
