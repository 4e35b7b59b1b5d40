//! A certificate authority, servers, authors and images, all made when a test runs.

mod authority;
mod image;
mod server;
mod world;

pub(crate) use authority::Authority;
pub(crate) use image::{Author, image, image_needing, noise, ready_to_push, signed, tar_image};
pub(crate) use server::{Reply, Request, Server};
pub(crate) use world::{NoPause, World, files_below, heard, keyring, told, trust};
