//! Objects of all codecs, whole and damaged, in memory and from a store.

mod encode;

use std::path::Path;

use proptest::prelude::*;

use super::*;
use encode::{all, deflated, framed, gzip, hadoop, stored, text, xerial, zip, zip_described, zstd};

/// The framings without a checksum.
const UNCHECKED: [&str; 2] = ["xerial", "hadoop"];

const LIMITS: Limits = Limits { whole: 16 << 20, bytes: 1 << 30, ratio: RATIO };

/// An object that is read from a store, which fails from some place on.
struct Remote {
    bytes: Bytes,
    fails_from: u64,
}

/// What a client for a store may fail with.
#[derive(Debug, PartialEq)]
struct Refused(u16);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.0)
    }
}

impl std::error::Error for Refused {}

impl Stored for Remote {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        assert!(length <= 8 << 20 && offset + length as u64 <= self.size(), "{offset} {length}");
        if offset + length as u64 > self.fails_from && offset < self.size() - 70_000 {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, Refused(503)));
        }
        self.bytes.read_at(offset, length)
    }
}

fn in_memory(bytes: &[u8]) -> Arc<dyn Stored> {
    Arc::new(Bytes::copy_from_slice(bytes))
}

fn remote(bytes: &[u8]) -> Arc<dyn Stored> {
    Arc::new(Remote { bytes: Bytes::copy_from_slice(bytes), fails_from: u64::MAX })
}

/// All that can be read of an object `step` bytes at a time, and what stopped it.
fn read_by(stored: &Arc<dyn Stored>, limits: Limits, step: usize) -> (Vec<u8>, Option<io::Error>) {
    let mut reader = match open(stored, limits) {
        Ok(Content::Text(reader)) => reader,
        Ok(Content::Whole(bytes)) => return (bytes.into(), None),
        Ok(Content::Columnar) => panic!("columnar"),
        Err(e) => return (Vec::new(), Some(e)),
    };
    let (mut out, mut buffer) = (Vec::new(), vec![0; step]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (out, None),
            Ok(length) => out.extend(&buffer[..length]),
            Err(e) => {
                if Damage::of(&e).is_some() {
                    assert_eq!(reader.read(&mut buffer).unwrap_err().to_string(), e.to_string(), "damage stays");
                }
                return (out, Some(e));
            }
        }
    }
}

/// What an object holds and how it is damaged, the same in memory and from a store.
fn read(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let [near, far] = [in_memory(bytes), remote(bytes)].map(|stored| {
        let (out, e) = read_by(&stored, LIMITS, 64 << 10);
        (out, e.map(|e| Damage::of(&e).unwrap().to_string()))
    });
    assert_eq!(near, far);
    near
}

fn reads(bytes: &[u8], text: &[u8], about: &str) {
    let (out, damage) = read(bytes);
    assert_eq!(damage, None, "{about}");
    assert!(out == text, "{about}: {} bytes instead of {}", out.len(), text.len());
}

#[test]
fn every_codec_gives_back_the_text() {
    for length in [8, 100, 3_000, 300_000] {
        let text = text(length);
        all(&text).iter().for_each(|(codec, object)| reads(object, &text, codec));
    }
    all(b"").iter().for_each(|(codec, object)| reads(object, b"", codec));
    reads(b"", b"", "no object");
    reads(b"[1]", b"[1]", "text");
}

#[test]
fn small_reads_give_what_large_ones_give() {
    let text = text(5_000);
    for (codec, object) in all(&text) {
        for step in [1, 7, 1000, 5000] {
            for stored in [in_memory(&object), remote(&object), in_memory(&gzip(&object)), remote(&gzip(&object))] {
                let (out, e) = read_by(&stored, LIMITS, step);
                assert!(out == text && e.is_none(), "{codec} by {step}: {} bytes, {e:?}", out.len());
            }
        }
    }
}

/// Where an object may end besides at its end, by codec: behind a block, of which those before the cut are read.
fn blocks(codec: &str, text: &[u8]) -> Vec<(usize, usize)> {
    let parts = |encode: fn(&[u8]) -> Vec<u8>, part: usize| {
        let ends = (0..=text.len()).step_by(part).map(move |end| (encode(&text[..end]).len(), end));
        ends.collect::<Vec<_>>()
    };
    match codec {
        "xerial" => parts(|text| xerial(text, 1000), 1000),
        "hadoop" => parts(|text| hadoop(text, 2500, 1000), 2500).split_off(1),
        "framed" => vec![(10, 0)],
        _ => Vec::new(),
    }
}

#[test]
fn a_cut_object_gives_its_good_part_and_damage() {
    let text = text(6_000);
    for (codec, object) in all(&text) {
        let blocks = blocks(codec, &text);
        for cut in 14..object.len() {
            let (out, damage) = read(&object[..cut]);
            assert!(text.starts_with(&out), "{codec} cut at {cut}");
            assert_eq!(damage.is_none(), blocks.iter().any(|(end, _)| *end == cut), "{codec} cut at {cut}: {damage:?}");
            let good = blocks.iter().filter(|(end, _)| *end <= cut).map(|(_, good)| *good).max();
            assert!(out.len() >= good.unwrap_or(0), "{codec} cut at {cut}: {} bytes", out.len());
            if codec.starts_with('g') || codec.starts_with("zip") {
                assert!(out.len() * 2 + 1200 >= cut, "{codec} cut at {cut}: {} bytes", out.len());
            }
        }
    }
}

#[test]
fn what_is_before_a_flipped_byte_is_kept() {
    let text = text(2 << 20);
    for (codec, object) in all(&text) {
        let mut object = object;
        let middle = object.len() / 2;
        object[middle..middle + 64].fill(0xff);
        let (out, damage) = read_by(&remote(&object), LIMITS, 1 << 20);
        let good = out.iter().zip(&text).take_while(|(left, right)| left == right).count();
        assert!(good > text.len() / 2 - (130 << 10), "{codec}: {good} of {} bytes", out.len());
        assert!(damage.is_some() || UNCHECKED.contains(&codec), "{codec}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_damage_or_does_no_harm(codec in 0usize..8, place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let text = text(3_000);
        let (codec, mut object) = all(&text).swap_remove(codec);
        let place = place.index(object.len());
        object[place] ^= 1 << bit;
        let (out, damage) = read(&object);
        // Another type makes of a chunk one that readers pass over.
        let unchecked = UNCHECKED.contains(&codec) || place <= 10;
        prop_assert!(unchecked || damage.is_some() || out == text, "{} at {}", codec, place);
    }

    #[test]
    fn any_bytes_behind_a_magic_are_read_without_panic(codec in 0usize..8, keep in 0usize..60, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, mut object) = all(&text(200)).swap_remove(codec);
        object.truncate(keep);
        object.extend(rest);
        read(&object);
    }
}

#[test]
fn damage_of_the_outer_layer_costs_nothing_that_was_decoded() {
    let inner = gzip(&[b' '; 5_000]);
    for cut in 20..inner.len() {
        let mut object = gzip(&inner[..cut]);
        object.truncate(object.len() - 8);
        let [large, small] = [64 << 10, 7].map(|step| read_by(&remote(&object), LIMITS, step));
        assert_eq!(large.0.len(), small.0.len(), "cut at {cut}");
        assert_eq!(large.1.unwrap().to_string(), small.1.unwrap().to_string(), "cut at {cut}");
    }
}

#[test]
fn objects_put_together_are_read_to_the_end() {
    let text = text(3_000);
    let twice = [&text[..], &text].concat();
    for (codec, object) in all(&text) {
        reads(&[&object[..], &object].concat(), &twice, codec);
    }
    reads(&[hadoop(&text, 3000, 1000), vec![0; 4], hadoop(&text, 500, 500)].concat(), &twice, "hadoop with an empty frame between");
    let skipped = [&b"\x51\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(&text)].concat();
    reads(&[&skipped[..], &skipped].concat(), &twice, "zstd with frames to be skipped");
}

#[test]
fn layers_come_off_up_to_three() {
    let text = text(100_000);
    for (codec, object) in all(&text) {
        for (outer, object) in all(&object) {
            reads(&object, &text, &format!("{codec} in {outer}"));
        }
        reads(&gzip(&gzip(&object)), &text, codec);
        let (out, damage) = read(&gzip(&xerial(&gzip(&object), 1000)));
        assert_eq!((out.len(), damage.unwrap().as_str()), (0, "it is compressed more than 3 times"), "{codec}");
    }
    let records = [gzip(b"{\"a\":1}"), gzip(b""), gzip(b"{\"b\":2}")].concat();
    reads(&gzip(&records), b"{\"a\":1}{\"b\":2}", "records of CloudWatch Logs");
}

#[test]
fn a_bomb_stops() {
    let zeros = vec![b' '; 200 << 20];
    let bomb = gzip(&zeros);
    let (out, e) = read_by(&remote(&bomb), LIMITS, 1 << 20);
    assert!(e.is_none() && out.len() == zeros.len(), "one layer is never refused: {e:?}");
    for stored in [in_memory(&gzip(&bomb)), remote(&gzip(&bomb))] {
        let (out, e) = read_by(&stored, LIMITS, 1 << 20);
        let most = (64 << 20).max(2000 * stored.size());
        assert!(out.len() as u64 == most && out.len() < zeros.len(), "{} bytes of {most}", out.len());
        assert_eq!(Damage::of(&e.unwrap()).unwrap().to_string(), "it is more than 2000 times as long when decompressed");
    }
    let limits = Limits { whole: 100, bytes: 1000, ..LIMITS };
    for object in [vec![b' '; 1001], gzip(&[b' '; 1001]), zstd(&[b' '; 1001])] {
        let (out, e) = read_by(&in_memory(&object), limits, 64);
        assert_eq!((out.len(), e.unwrap().to_string().as_str()), (1000, "it has more than 1000 bytes when decompressed"));
        let enough = Limits { bytes: 1001, ..limits };
        assert!(read_by(&in_memory(&object), enough, 64).1.is_none());
    }
}

#[test]
fn gzip_may_be_padded_and_not_followed_by_anything_else() {
    let member = gzip(b"one ");
    let good: [(&[u8], &[u8]); 4] = [(b"", b"\0\0\0"), (b"\n", b""), (b"\r\n", b"\n"), (b"", &[0; 5000])];
    for (between, behind) in good {
        reads(&[&member, between, &member, behind].concat(), b"one one ", "padded");
    }
    for rest in [&b"{\"a\":1}\n"[..], b"\x01"] {
        let object = [&gzip(b""), rest, &[0; 8]].concat();
        assert_eq!(read(&object).1.unwrap(), "gzip: what follows its member 1 is not gzip", "behind an empty member");
    }
    for behind in [&b"x"[..], b"\0\0{\"a\":1}", b"\x1f", b"\x1f\x8b\x09\0\0\0\0\0\0\0"] {
        let (out, damage) = read(&[&member, behind].concat());
        assert!(out == b"one " && damage.is_some(), "{behind:?}");
    }
    assert_eq!(read(&[&member[..], b"\nrest"].concat()).1.unwrap(), "gzip: what follows its member 1 is not gzip");
    let mut wrong = member.clone();
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    assert_eq!(read(&wrong), (b"one ".to_vec(), Some("gzip: the checksum is wrong".to_owned())));
    assert_eq!(read(&member[..member.len() - 1]), (b"one ".to_vec(), Some("gzip: it ends before its end".to_owned())));
}

#[test]
fn gzip_of_one_member_comes_out_in_one_piece() {
    let member = gzip(b"the same");
    let is_whole = |bytes: &[u8], whole| matches!(open(&in_memory(bytes), Limits { whole, ..LIMITS }).unwrap(), Content::Whole(_));
    assert!(is_whole(&member, 8) && is_whole(&gzip(&member), 100) && is_whole(b"text", 0));
    assert!(!is_whole(&member, 7));
    assert!(!is_whole(&[member.clone(), member.clone()].concat(), 100), "members that are alike are not taken for one");
}

#[test]
fn foreign_gzip_is_read() {
    let samples = std::env::var("LAKEBED_SAMPLES").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").to_owned());
    for (file, length, begin) in [("bgzf.gz", 946, "#CHROM"), ("concat.gz", 1804, "#CHROM")] {
        let path = Path::new(&samples).join("gzip-framing").join(file);
        let Ok(object) = std::fs::read(&path) else {
            eprintln!("{} is not there; the test passes without it", path.display());
            continue;
        };
        let (out, damage) = read(&object);
        assert_eq!((out.len(), damage), (length, None), "{file}");
        assert!(out.starts_with(begin.as_bytes()), "{file}");
    }
}

#[test]
fn zip_of_several_entries_is_read_in_order() {
    let (first, second) = (text(5_000), text(70_000));
    let both = [&first[..], &second].concat();
    let folder = ("folder/", &b""[..], stored());
    let entries = [("b", &first[..], deflated()), folder, ("a", &second[..], stored())];
    reads(&zip(&entries), &both, "with a folder");
    reads(&zip_described(&[entries[0], ("a", &second, deflated())]), &both, "with lengths behind the data");
    let wide = |options: ::zip::write::SimpleFileOptions| options.large_file(true);
    reads(&zip(&[("a", &first, wide(deflated())), ("b", &second, wide(stored()))]), &both, "with lengths of 64 bits");
    let mut alike = zip(&[("name 1", &first, deflated()), ("name 2", &second, deflated())]);
    while let Some(at) = memchr::memmem::find(&alike, b"name 2") {
        alike[at + 5] = b'1';
    }
    reads(&alike, &both, "with two entries of one name");
    reads(&zip(&[]), b"", "empty");
    reads(&[zip(&entries), zip_described(&entries[..1])].concat(), &[&both[..], &first].concat(), "two archives");
}

#[test]
fn zip_that_cannot_be_read_says_why() {
    let object = zip(&[("secret", b"one ", deflated()), ("secret/2", b"two", stored())]);
    let listed: Vec<usize> = memchr::memmem::find_iter(&object, b"PK\x01\x02").collect();
    for (field, value, good, why) in [
        (8, 1, "one ", "zip: entry 2 is encrypted"),
        (10, 93, "one ", "zip: entry 2 is compressed by method 93; stored and deflated are read"),
        (16, 1, "one two", "zip: the checksum of entry 2 is wrong"),
        (24, 1, "one two", "zip: the length of entry 2 is wrong"),
        (42, 1, "one ", "zip: entry 2 is not where the directory says"),
    ] {
        let mut object = object.clone();
        object[listed[1] + field] = value;
        assert_eq!(read(&object), (good.as_bytes().to_vec(), Some(why.to_owned())));
    }
    let cut = &object[..listed[0]];
    assert_eq!(read(cut), (b"one two".to_vec(), Some("zip: it ends before its end".to_owned())));
}

#[test]
fn lengths_that_cannot_be_are_not_believed() {
    let block = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0x7f, 0xff, 0xff, 0xff], b"\xff\xff\xff\xff\x07\0"].concat();
    assert_eq!(read(&block).1.unwrap(), "snappy: block 1 states a length that no block has");
    let long = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0, 0, 0, 6], b"\xff\xff\xff\x07\0a"].concat();
    assert_eq!(read(&long).1.unwrap(), "snappy: block 1 is corrupt");
    let mut gzip = gzip(b"text");
    let length = gzip.len() - 1;
    gzip[length] = 0xff;
    assert_eq!(read(&gzip), (b"text".to_vec(), Some("gzip: the length is wrong".to_owned())));
    assert!(read(b"\x28\xb5\x2f\xfd\0\xb8\0\0\0").1.unwrap().starts_with("zstd: it is corrupt: "), "a window of 8 GiB");
}

#[test]
fn parquet_is_left_to_its_reader_and_orc_to_nobody() {
    for stored in [in_memory(b"PAR1\x15\x04 data PAR1"), remote(b"PAR1\x15\x04 data PAR1")] {
        assert!(matches!(open(&stored, LIMITS).unwrap(), Content::Columnar));
    }
    let damage = |bytes: &[u8]| read(bytes).1.unwrap();
    assert_eq!(damage(b"PAR1\x15\x04 data"), "parquet: it ends before its end");
    assert_eq!(damage(b"ORC\x08\x03"), "orc is not read; let Firehose deliver JSON or Parquet");
    let inside = "parquet is not read when it is compressed once more; land it as it is";
    assert_eq!(damage(&gzip(b"PAR1\x15\x04 data PAR1")), inside);
    assert_eq!(damage(&zstd(b"PAR1\x15\x04 data PAR1")), inside);
}

#[test]
fn the_stores_failure_comes_through_as_it_is() {
    // Longer than what is fetched at once, however it is compressed.
    let text = text(20 << 20);
    for (codec, object) in all(&text) {
        for (layers, object) in [(1, object.clone()), (2, framed(&object))] {
            let fails_from = 9 << 20;
            let stored: Arc<dyn Stored> = Arc::new(Remote { bytes: object.into(), fails_from });
            let (out, e) = read_by(&stored, LIMITS, 1 << 20);
            let e = e.unwrap_or_else(|| panic!("{codec} in {layers} layers"));
            assert_eq!((e.kind(), Damage::of(&e)), (io::ErrorKind::ConnectionReset, None), "{codec} in {layers} layers");
            assert_eq!(e.get_ref().and_then(|e| e.downcast_ref()), Some(&Refused(503)), "{codec} in {layers} layers");
            assert!(out.len() > 4 << 20 && text.starts_with(&out), "{codec} in {layers} layers: {} bytes", out.len());
        }
    }
}
