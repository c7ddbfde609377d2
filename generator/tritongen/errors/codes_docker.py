"""TG84x to TG87x: the Docker Engine, images, containers, and files to deploy."""

from tritongen.errors.code import Code

DOCKER_CODES: tuple[Code, ...] = (
    Code(
        "TG840",
        "Docker Engine cannot be reached",
        "Start it (`systemctl start docker`, or Docker Desktop), set DOCKER_HOST when it is "
        "elsewhere, or use --runtime embedded.",
    ),
    Code(
        "TG841",
        "no permission to use the Docker Engine",
        "Join the group `docker` and log in again, use rootless Docker, or --runtime embedded.",
    ),
    Code(
        "TG842",
        "image is neither here nor can it be pulled",
        "Check its name and `docker login`, name a local one with --image, or use --runtime "
        "embedded.",
    ),
    Code(
        "TG843",
        "image lacks a backend",
        "Use an image that holds it; the official `-py3` image holds the standard ones.",
    ),
    Code(
        "TG844",
        "image is another release than planned for",
        "Set target.triton in tritongen.yaml to the image's release, or choose the image of the "
        "planned one.",
    ),
    Code(
        "TG845",
        "Docker Engine refused the container",
        "Read the engine's reason; `tritongen doctor` shows what the engine supports.",
    ),
    Code(
        "TG846",
        "link that the container cannot follow",
        "Build with `weights: copy` in tritongen.yaml, or keep the file in an ordinary folder.",
    ),
    Code(
        "TG847",
        "container's user cannot read the repository",
        "Run chmod -R a+rX on the repository, or name a user that may read it with --user.",
    ),
    Code(
        "TG848",
        "Docker Engine cannot limit what the plan limits",
        "Enable that cgroup controller on the engine's machine; the server runs without the limit.",
    ),
    Code(
        "TG849",
        "not an image of Triton",
        "Name an image with `tritonserver` on its PATH, as the official ones have.",
    ),
    Code(
        "TG850",
        "Docker Engine is on another machine",
        "Put the repository at the same path there, or use an engine on this machine.",
    ),
    Code(
        "TG851",
        "image is for another processor",
        "Use an image for the engine's processor; emulation is slow and often fails.",
    ),
    Code(
        "TG852",
        "no release has every backend of the plan",
        "Serve the models by several servers, or convert the model to a format that is served on.",
    ),
    Code(
        "TG853",
        "configuration differs from the server's",
        "Restart the server (`tritongen restart`), or build the repository that it serves.",
    ),
    Code(
        "TG854",
        "image that was chosen",
        "Name another one with --image, or plan for another release with target.triton.",
    ),
    Code(
        "TG860",
        "folder holds files that tritongen did not write",
        "Choose another folder with -o, or replace them with --force.",
    ),
)
