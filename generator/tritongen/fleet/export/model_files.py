"""A repository on its way: into an image, into a cluster's claim, and held against its digests.

Both ways begin with one stream of tar, in which links are the files that they lead to and nothing
depends on the day or the user: the same repository gives the same layers. It is held against
`SHA256SUMS` before an image is built, when a copy ends, and each time that a pod starts.
"""

import re
import shlex
from collections.abc import Iterator

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.model.lock import Lock

SUMS = "SHA256SUMS"
RECEIVER = "receive.sh"
# Twelve hexadecimal digits are few to read and enough to differ by.
_SHORT = 12
_TAGGED = re.compile(r"[@:][^/]*$")
_TAR = (
    "tar -chf - --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a+rX "
    "--exclude='*tritongen.lock'"
)


def short(digest: str) -> str:
    """Enough of a digest to tell builds apart."""
    return digest[:_SHORT]


def holds_models(image: str) -> bool:
    """Whether a name is that of an image to build: it has neither a tag nor a digest."""
    return bool(image) and not _TAGGED.search(image)


def repository_files(lock: Lock) -> tuple[tuple[str, str], ...]:
    """(path in the repository, sha256) of everything that a build has put there."""
    weights = {
        f"{name}/{path}": digest
        for name, model in lock.models.items()
        for path, digest in model.evidence.files
    }
    return tuple(sorted({**weights, **lock.written}.items()))


def sums(deployment: Deployment) -> ExportFile:
    """What `sha256sum --check` reads."""
    lines = (_line(path, digest) for path, digest in deployment.files)
    return ExportFile(SUMS, "".join(lines))


def _line(path: str, digest: str) -> str:
    told = path.replace("\\", "\\\\").replace("\n", "\\n")
    return f"{chr(92) if told != path else ''}{digest}  {told}\n"


def image_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """What builds the image; nothing where the models come from elsewhere."""
    if not deployment.base_image:
        return ()
    values = {"deployment": deployment, "service": deployment.services[0], "sums": SUMS}
    text = render("image/Dockerfile.j2", values)
    return (ExportFile("Dockerfile", text), sums(deployment))


def deploy_commands(target: ExportTarget, deployment: Deployment) -> tuple[str, ...]:
    """Everything from the repository to a service, run in the folder that was written."""
    copied = copy_commands(deployment) if target.copies else ()
    deploy = (
        command.replace("FOLDER/", folder)
        for folder in target.folders(deployment)
        for command in target.deploy
    )
    return (*_image_commands(deployment), *deploy, *copied)


def _image_commands(deployment: Deployment) -> Iterator[str]:
    """Builds the image and gives it to its registry."""
    if deployment.base_image:
        image = deployment.services[0].container.image
        into = f"--transform 's,^[.],root/models,;s,^{SUMS}$,root/{SUMS},'"
        place = shlex.quote(deployment.repository)
        yield f'(cd {place} && sha256sum --quiet --check "$OLDPWD/{SUMS}")'
        yield f"{_TAR} {into} Dockerfile {SUMS} -C {place} . | docker build -t {image} -"
        yield f"docker push {image}"


def copy_commands(deployment: Deployment) -> Iterator[str]:
    """Sends the repository into a cluster's claim."""
    if deployment.in_claim and deployment.claim[1]:
        source = f"{_TAR} -C {shlex.quote(deployment.repository)} ."
        job = f"-n {deployment.namespace} job/{copy_name(deployment)}"
        ready = f"--for=jsonpath='{{.status.ready}}'=1 --timeout=300s {job}"
        yield f"kubectl wait {ready}"
        yield f"{source} | kubectl exec -i {job} -- sh /repository/{RECEIVER}"


def copy_name(deployment: Deployment) -> str:
    """Of the Job that takes this build, and of what holds its digests."""
    return f"{deployment.name}-models-{short(deployment.digest)}"
