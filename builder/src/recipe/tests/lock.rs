use std::path::Path;

use aci::FileDigest;
use proptest::prelude::*;

use super::*;

fn id(byte: u8) -> ImageId {
    ImageId::of([byte; 64])
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn lock_is_written_in_one_form() {
    let mut lock = Lock::default();
    assert_eq!(Lock::parse(&lock.to_string()).unwrap(), lock);
    lock.set_file("rootfs.tar.gz".parse().unwrap(), FileDigest::of([3; 64]));
    lock.set_image(reference("example.com/b:1,x=y"), LockedImage { id: id(2), size: 7 });
    lock.set_image(reference("example.com/a"), LockedImage { id: id(1), size: 0 });
    let (one, two, three) = ("01".repeat(64), "02".repeat(64), "03".repeat(64));
    let wanted = format!(
        "# Written by gantry. What the recipe beside this was built from.\n\
         version = 1\n\n\
         [[image]]\nimage = \"example.com/a\"\nid = \"sha512-{one}\"\nsize = 0\n\n\
         [[image]]\nimage = \"example.com/b:1,x=y\"\nid = \"sha512-{two}\"\nsize = 7\n\n\
         [[file]]\nfile = \"rootfs.tar.gz\"\ndigest = \"sha512-{three}\"\n"
    );
    assert_eq!(lock.to_string(), wanted);
    assert_eq!(Lock::parse(&wanted).unwrap(), lock);
}

#[test]
fn lock_finds_a_reference_whatever_the_order_of_its_labels() {
    let mut lock = Lock::default();
    lock.set_image(reference("a:1,x=y"), LockedImage { id: id(1), size: 1 });
    assert_eq!(lock.image(&reference("a,x=y,version=1")).map(|locked| &locked.id), Some(&id(1)));
    assert_eq!(lock.image(&reference("a:1")), None);
    let old = lock.set_image(reference("a,x=y,version=1"), LockedImage { id: id(2), size: 1 });
    assert_eq!((old.map(|locked| locked.id), lock.images().count()), (Some(id(1)), 1));
}

#[test]
fn lock_that_is_wrong_is_refused_with_its_place() {
    let image =
        |text: &str| format!("[[image]]\nimage = \"{text}\"\nid = \"{}\"\nsize = 1\n", id(1));
    let file = format!("[[file]]\nfile = \"a\"\ndigest = \"{}\"\n", id(1));
    for (text, told) in [
        (String::new(), "line 1, column 1: missing field `version`"),
        (
            "version = 2".to_owned(),
            "line 1, column 1, version: version 1 of lock files was wanted, not 2",
        ),
        (
            "version = 1\nnew = 1".to_owned(),
            "line 2, column 1, new: unknown field `new`, expected one of `version`, `image`, `file`",
        ),
        (
            format!("version = 1\n{}{}", image("a,b=1,c=2"), image("a,c=2,b=1")),
            "line 7, column 1, image[1].image: a,c=2,b=1 is locked twice",
        ),
        (format!("version = 1\n{file}{file}"), "line 6, column 1, file[1].file: a is locked twice"),
        (
            format!("version = 1\n{}extra = 1", image("a")),
            "line 6, column 1, image[0].extra: unknown field `extra`, expected one of `image`, `id`, `size`",
        ),
        (
            format!("version = 1\n{file}extra = 1"),
            "line 5, column 1, file[0].extra: unknown field `extra`, expected `file` or `digest`",
        ),
    ] {
        assert_eq!(Lock::parse(&text).unwrap_err().to_string(), told, "{text}");
    }
}

#[test]
fn lock_lies_beside_the_recipe() {
    for (recipe, lock) in
        [("a/web.toml", "a/web.lock"), ("recipe", "recipe.lock"), ("a.lock", "a.lock.lock")]
    {
        assert_eq!(Lock::path(Path::new(recipe)), Path::new(lock));
    }
}

proptest! {
    #[test]
    fn lock_reads_as_it_is_written(
        images in prop::collection::vec(("[a-c]{1,3}(:[0-9.\"\\\\é]{0,4})?", any::<u8>(), 0..=i64::MAX as u64), 0..5),
        files in prop::collection::vec(("[^/\0][^\0]{0,9}", any::<u8>()), 0..5),
    ) {
        let mut lock = Lock::default();
        for (image, byte, size) in images {
            lock.set_image(reference(&image), LockedImage { id: id(byte), size });
        }
        for (file, byte) in files {
            lock.set_file(file.parse().unwrap(), FileDigest::of([byte; 64]));
        }
        prop_assert_eq!(Lock::parse(&lock.to_string()).unwrap(), lock);
    }
}
