//! Where this crate means to differ from rkt, and why.

use super::{Case, Outcome};

const PLATFORM: &str = "os and arch that were not given are this machine's";
const SEGMENTS: &str = "a prefix covers whole path segments";
const DOCKER: &str = "images in the format of Docker and OCI are not fetched yet, and said so";

/// Id of the case (or its beginning, where it ends in a slash), reason.
const DIFFERENCES: &[(&str, &str)] = &[
    ("discovery_template/probe/3", PLATFORM),
    ("discovery_template/probe/4", "an empty os is no os, and cannot be asked for"),
    ("discovery_template/probe/6", "without {ext} image and signature would be one URL"),
    ("discovery_template/probe/18", SEGMENTS),
    ("discovery_template/probe/21", SEGMENTS),
    ("discovery_template/probe/22", SEGMENTS),
    ("discovery_template/probe/25", "only https URLs are used"),
    ("discovery_template/probe/26", "only https URLs are used"),
    ("discovery_walk/TestDiscoverEndpoints/8", PLATFORM),
    ("discovery_walk/TestDiscoverEndpoints/9", PLATFORM),
    ("discovery_walk/TestDiscoverEndpoints/10", "no label can be called name (aci.md)"),
    ("discovery_walk/TestDiscoverEndpoints/11", PLATFORM),
    ("discovery_walk/probe/http-fallback-order", "http is asked only where the user gave https up"),
    (
        "discovery_walk/probe/https-empty-page-no-http",
        "http is asked only where the user gave https up",
    ),
    ("discovery_walk/probe/port", "an image name holds no port; overrides do"),
    ("discovery_http/probe/10", "credentials are sent over TLS only"),
    ("discovery_http/probe/11", "an image name holds no port; overrides do"),
    ("discovery_http/probe/12", "an image name holds no port; overrides do"),
    ("rkt_config/auth-probe/2", "credentials for no host at all are a mistake"),
    ("rkt_config/paths/", "the folders of rkt are rkt's: --store and store name ours"),
    ("rkt_config/stage1/", "a runtime is chosen with --runtime, and is no image"),
    ("rkt_config/tree-probe/3", "the folders of rkt are rkt's: --store and store name ours"),
    (
        "rkt_http_rules/asc-url/0",
        "a URL that does not end in .aci is fetched with its signature's own URL beside it",
    ),
    (
        "rkt_http_rules/asc-url-probe/1",
        "a URL that does not end in .aci is fetched with its signature's own URL beside it",
    ),
    ("rkt_http_rules/asc-path/0", "the signature of a file is beside it, with .asc after its name"),
    ("rkt_http_rules/max-age-probe/10", "of two ages the shorter counts"),
    ("rkt_http_rules/use-cached/6", "what was asked for in the future shows a wrong clock"),
    ("rkt_http_rules/aws-region/", "requests are not signed in the manner of S3, and said so"),
    (
        "rkt_insecure_options/",
        "each thing that can be given up is an option of its own; signatures are none of them",
    ),
    ("rkt_distribution/docker/", DOCKER),
    ("rkt_distribution/label-less/", "labels keep the order they were given in"),
    ("rkt_mounts/probe/11", "/data/ and /data are one place, where one thing can be mounted"),
    (
        "rkt_runtime/seccomp/0",
        "ace.md lets an executor block calls of its own choice: a list of those that are blocked, not one of those that were known at a time",
    ),
    (
        "rkt_runtime/seccomp/10",
        "the default list is one of blocked calls; what the app names besides is taken from it",
    ),
    ("rkt_runtime/seccomp/18", "the sets of systemd are known here, without a systemd in the pod"),
    (
        "rkt_store/TestGetAci/4",
        "without a version the newest one is meant, as a registry chooses it, not the one that was \
         once fetched without a version",
    ),
    (
        "rkt_store/lookup-probe/1",
        "without a version the newest one is meant, not the one that was imported last",
    ),
    ("rkt_store/resolve-probe/8", "all 128 digits of an image ID count, not the first 64"),
    (
        "rkt_tar_extract/TestExtractTarHardLink",
        "an archive with an absolute path is refused, not read as if it were a relative one",
    ),
    (
        "rkt_tar_extract/TestExtractTarPWL",
        "a folder above a listed file keeps the mode that its image gives it, and is not made anew",
    ),
    (
        "rkt_tar_extract/TestExtractTarXattr",
        "capabilities that are none are refused by the kernel, and so is the image that has them",
    ),
];

/// Of rkt's image strings: the case, reason.
const IMAGE_STRINGS: &[(&str, &str)] = &[
    ("guess/2", "a path begins with /, ./ or ../, or ends in .aci"),
    ("guess-probe/0", "what lies in the current folder has no say in what a text means"),
    ("guess-probe/4", "a path begins with /, ./ or ../, or ends in .aci"),
    ("classify/10", "a file may be called as it likes: the text begins as a path does"),
    ("classify/11", "a file may be called as it likes: the text begins as a path does"),
    ("classify/13", DOCKER),
    ("classify/14", DOCKER),
    ("classify/15", DOCKER),
    ("classify/16", DOCKER),
    ("classify/17", DOCKER),
    ("classify/18", DOCKER),
    ("classify/19", DOCKER),
    ("classify/20", DOCKER),
    ("classify-probe/23", DOCKER),
    ("classify-probe/9", "the path of a URL is cleaned up when it is read (RFC 3986, 5.2.4)"),
    ("classify-probe/10", "the beginning of an image ID is looked up in the store"),
    ("classify-probe/26", "a URL of an unknown kind is no name"),
];

/// Why our answer to a case may differ, where it may.
pub(super) fn reason(case: &Case, _got: &Outcome) -> Option<&'static str> {
    let meant = |id: &str| case.id == id || (id.ends_with('/') && case.id.starts_with(id));
    let of_string = |id: &str| case.id.strip_prefix("rkt_image_ref/") == Some(id);
    let all = DIFFERENCES.iter().find(|(id, _)| meant(id));
    let strings = || IMAGE_STRINGS.iter().find(|(id, _)| of_string(id));
    all.or_else(strings).map(|(_, reason)| *reason)
}
