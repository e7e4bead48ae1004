"""containerd's messages, made of the worker's own .proto files when they are needed: there is no second copy to keep."""
import importlib
import pathlib
import subprocess
import sys
import tempfile

PROTOS = pathlib.Path(__file__).resolve().parents[2] / "Sources" / "ContainerdAPI" / "Protos"


def load(*names):
    """The modules of these files, such as "tasks"."""
    with tempfile.TemporaryDirectory(prefix="cw-protos-") as directory:
        subprocess.run(["protoc", f"--proto_path={PROTOS}", f"--python_out={directory}", *map(str, PROTOS.glob("*.proto"))],
                       check=True)
        sys.path.insert(0, directory)
        try:
            return [importlib.import_module(f"{name}_pb2") for name in names]
        finally:
            sys.path.remove(directory)
