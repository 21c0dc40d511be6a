//! Peripherals by name, from tests/firmware/small.svd, through the program and the pipe on both chips; and files that are no good.

use std::fs;
use std::process::{Command, Output};

const CHIPS: [&str; 2] = ["targets/stm32h7.toml", "targets/stm32g0.toml"];

fn run(target: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-q", "-f", "interfaces/sim.toml", "-f", target, "-c", line]).output().unwrap()
}

/// What it printed; it must have ended well.
fn says(target: &str, line: &str) -> String {
    let output = run(target, line);
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{line}\n{out}\n{err}");
    out
}

fn refuses(target: &str, line: &str) -> String {
    let output = run(target, line);
    assert!(!output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// On both chips, after the file was taken and the registers' words were filled.
fn shows(line: &str) -> Vec<String> {
    let line = format!("mww 0x20001000 0x12340315; mww 0x20001008 0xbeef5a00; svd tests/firmware/small.svd; {line}");
    CHIPS.map(|target| says(target, &line)).into()
}

#[test]
fn a_register_is_decoded_by_fields_and_meanings() {
    let wanted = "tests/firmware/small.svd: SMALL, 28 registers
RAM.CR (/32) at 0x20001000: 0x12340315  control
  STATE        [9]     0x1
  FLAG         [8]     0x1
  MODE         [7:4]   0x1  Low
  EN2          [1]     0x0  Off: Stands still
  EN           [0]     0x1  On: Runs
RAM.CR.MODE         [7:4]   0x1  Low
RAM.BYTE (/8) at 0x20001009: 0x5a
RAM.HALF (/16) at 0x2000100a: 0xbeef
";
    for out in shows("reg RAM.CR; reg ram.cr.mode; reg RAM.BYTE; reg RAM.HALF") {
        assert_eq!(out, wanted);
    }
    // Don't-care bits, and what is none of the others.
    for out in shows("reg RAM.CR 0x70; reg RAM.CR.MODE; reg RAM.CR 0xf0; reg RAM.CR.MODE") {
        assert!(out.contains("0x7  Other\n") && out.ends_with("0xf  Fast\n"), "{out}");
    }
}

#[test]
fn derived_elements_arrays_and_clusters_have_their_places() {
    for out in shows("mww 0x20001054 0xab00; mww 0x20002034 7; mww 0x20002004 2; reg RAM.ST[1].NDTR.N1; reg RAM2.CCB; reg RAM2.CR2.EN2") {
        let last: Vec<&str> = out.lines().skip(1).collect();
        assert_eq!(
            last,
            [
                "RAM.ST[1].NDTR.N1           [15:8]  0xab",
                "RAM2.CCB (/32) at 0x20002034: 0x00000007",
                "RAM2.CR2.EN2          [1]     0x1  On: Runs"
            ]
        );
    }
}

#[test]
fn a_field_is_written_without_its_neighbours() {
    // FLAG reads 1 and would be cleared by a 1: it is written as 0.
    for out in shows("reg RAM.CR.MODE 9; mdw 0x20001000") {
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[1], "wrote 0x12340295 to RAM.CR at 0x20001000 (it was 0x12340315)");
        assert_eq!(lines[2], "0x20001000: 12340295 ");
    }
    // In accesses of the register's size: the bytes beside it stay.
    for out in shows("reg RAM.BYTE 0x77; reg RAM.HALF 0x1234; mdw 0x20001008; print(reg(\"RAM.BYTE\") + 1)") {
        assert!(out.contains("wrote 0x77 to RAM.BYTE at 0x20001009\n"), "{out}");
        assert!(out.ends_with("0x20001008: 12347700 \n120\n"), "{out}");
    }
    for out in shows("reg RAM.TIME 0x123456789abcdef0; mdd 0x20001010; reg RAM.TIME.HIGH; reg RAM.TIME.HIGH 0xfedcba; mdd 0x20001010") {
        assert!(out.contains("0x20001010: 123456789abcdef0 \nRAM.TIME.HIGH         [63:40] 0x123456\n"), "{out}");
        assert!(out.ends_with("0x20001010: fedcba789abcdef0 \n"), "{out}");
    }
}

#[test]
fn access_is_as_the_file_says() {
    for target in CHIPS {
        for (line, said) in [
            ("reg RAM.CR.STATE 1", "RAM.CR.STATE is read-only"),
            ("reg DBG.IDCODE 1", "DBG.IDCODE is read-only"),
            ("reg RAM.KR", "RAM.KR is write-only"),
            ("reg RAM.KR.K 1", "RAM.KR.K cannot be written by itself: its register is write-only"),
            ("reg RAM.DR.D 1", "RAM.DR.D cannot be written by itself: reading its register changes something"),
            ("reg RAM.CR.MODE 16", "RAM.CR.MODE has 4 bits: 0x10 does not fit"),
            ("reg RAM.BYTE 0x100", "0x100 does not fit in 8 bits"),
            ("reg RAM.ODD", "a width of 24 bits is none of 8, 16, 32, 64"),
            ("reg RAM 1", "RAM is no register, but has some"),
            ("reg RAM.CRR", "neither this core nor tests/firmware/small.svd has a register `RAM.CRR`"),
            ("reg RAM.CR.ENN", "did you mean `RAM.CR.EN`?"),
            ("reg NOWHERE.CR", "0x70000000"),
        ] {
            let err = refuses(target, &format!("svd tests/firmware/small.svd; {line}"));
            assert!(err.contains(said), "{line}: no `{said}` in\n{err}");
        }
        // What cannot be read can be written as a whole.
        assert!(says(target, "svd tests/firmware/small.svd; reg RAM.KR 0xcccc; mdw 0x20001020").ends_with("0x20001020: 0000cccc \n"));
    }
}

#[test]
fn a_peripheral_is_listed_and_reads_nothing_that_acts() {
    for out in shows("reg RAM; reg NOWHERE; print(reg(\"RAM\").keys())") {
        for line in [
            "0x20001000 RAM.CR                   0x12340315  control",
            "0x20001009 RAM.BYTE                 0x5a",
            "0x2000101c RAM.DR                   not read: reading it changes something  data",
            "0x20001020 RAM.KR                   not read: write-only",
            "0x20001018 RAM.ODD                  not read: it has 24 bits",
            "0x70000000 NOWHERE.CR               nothing answers  control",
        ] {
            assert!(out.lines().any(|had| had == line), "no `{line}` in\n{out}");
        }
        let read = out.lines().last().unwrap();
        assert!(read.contains("RAM.HALF") && !read.contains("RAM.DR") && !read.contains("RAM.KR"), "{read}");
    }
}

/// The core's registers come first, as before there were others; reading memory needs no halt.
#[test]
fn core_registers_keep_their_names() {
    for target in CHIPS {
        let out = says(target, "svd tests/firmware/small.svd; reg RAM.CR 5; halt; reg r0 0x1234; reg pc");
        assert!(out.contains("\nr0 (/32): 0x00001234\npc (/32): 0x"), "{out}");
        assert!(refuses(target, "halt; reg r77").contains("this core has no register `r77`"));
        assert!(refuses(target, "reg RCC.CR").contains("hint: peripherals are known by an SVD file: `svd FILE`"));
    }
}

#[test]
fn a_target_file_names_its_svd_and_dry_runs_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (target, sample) in CHIPS.iter().zip(["h7", "g0"]) {
        let text = fs::read_to_string(target).unwrap();
        let path = folder.path().join(format!("{sample}.toml"));
        fs::write(&path, format!("svd = \"small.svd\"\n{text}")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
            .args(["--dry-run", "-s", "tests/firmware", "-f", "interfaces/sim.toml", "-f", path.to_str().unwrap()])
            .args(["-c", "mdw 0x20001000; reg RAM.CR.EN 1; reg RAM.CR.KEY 1; reg RAM.CR.MODE; mdw 0x20001000"])
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("RAM.CR.MODE         [7:4]"), "{out}{err}");
        assert!(err.contains("dry run: `reg RAM.CR.EN 1` was not done"), "{err}");
        let words: Vec<&str> = out.lines().filter(|line| line.starts_with("0x20001000")).collect();
        assert_eq!(words[0], words[1]);
    }
}

/// Once, although others derive from it.
#[test]
fn a_field_that_is_not_in_its_register_is_left_out_and_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-c", "svd tests/firmware/small.svd"]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let said = "tests/firmware/small.svd:52: <field> RAM.CR.FAR is left out: its bits are not in its register";
    assert!(output.status.success() && err.matches(said).count() == 1 && !err.contains("others"), "{err}");
}

/// The first by its name, the others by their number; copies do not count.
#[test]
fn fields_that_are_left_out_are_counted() {
    let field = |(nth, bits): (usize, &str)| format!("<field><name>F{nth}</name>{bits}</field>\n");
    let bits = [
        "<bitOffset>31</bitOffset><bitWidth>32</bitWidth>",
        "<bitOffset>3</bitOffset><bitWidth>0</bitWidth>",
        "<lsb>8</lsb><msb>7</msb>",
        "<bitOffset>0xffffffffffffffff</bitOffset>",
        "<bitRange>[32:32]</bitRange>",
        "<bitRange>[99:0]</bitRange>",
        "<bitOffset>40</bitOffset>",
        "<bitOffset>0</bitOffset><bitWidth>32</bitWidth>",
        "<bitOffset>31</bitOffset>",
    ];
    let fields: String = bits.into_iter().enumerate().map(field).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.svd");
    let array = "<dim>3</dim><dimIncrement>4</dimIncrement><addressOffset>0</addressOffset>";
    let register = format!("<register><name>R%s</name>{array}<fields>\n{fields}</fields></register>");
    let peripheral =
        format!("<peripheral><name>P</name><baseAddress>0x20000000</baseAddress><registers>{register}</registers></peripheral>");
    fs::write(&path, format!("<device><name>X</name><peripherals>{peripheral}</peripherals></device>")).unwrap();
    let output = run("stm32g0", &format!("svd {0}; mww 0x20000000 0x80000001; reg P.R0", path.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("F8           [31]    0x1\n  F7           [31:0]  0x80000001\n"), "{out}");
    let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-c", &format!("svd {}", path.display())]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let said = ":2: <field> P.R%s.F0 is left out: its bits are not in its register; 6 others are not, either";
    assert!(told.matches("left out").count() == 1 && told.contains(said), "{told}{err}");
}

/// Ever more from few lines, and elements that are derived one from the other: an error in time, and no memory full of copies.
#[test]
fn what_grows_without_measure_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.svd");
    let many = |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<String>();
    let field =
        many(200, &|n| format!("<field><name>F{n}_%s</name><dim>32</dim><dimIncrement>1</dimIncrement><bitOffset>0</bitOffset></field>"));
    let copies = format!(
        "<register><name>R%s</name><dim>60000</dim><dimIncrement>4</dimIncrement><addressOffset>0</addressOffset><fields>{field}</fields></register>"
    );
    let chain =
        many(20_000, &|n| format!("<register derivedFrom=\"R{}\"><name>R{n}</name><addressOffset>0</addressOffset></register>", n + 1))
            + "<register><name>R20000</name><addressOffset>0</addressOffset></register>";
    for (registers, said) in [(copies, "is one of more than"), (chain, "derives from others")] {
        let text = format!(
            "<device><name>X</name><peripherals><peripheral><name>P</name><baseAddress>0</baseAddress><registers>{registers}</registers></peripheral></peripherals></device>"
        );
        fs::write(&path, text).unwrap();
        let told = refuses("stm32g0", &format!("svd {}", path.display()));
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn files_that_are_no_good_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let device = |peripherals: &str| format!("<device><name>X</name><peripherals>\n{peripherals}\n</peripherals></device>");
    let registers = |inner: &str| {
        device(&format!("<peripheral><name>P</name><baseAddress>0</baseAddress><registers>\n{inner}\n</registers></peripheral>"))
    };
    let register = |name: &str, from: &str| {
        let from = if from.is_empty() { String::new() } else { format!(" derivedFrom=\"{from}\"") };
        format!("<register{from}><name>{name}</name><addressOffset>0</addressOffset></register>\n")
    };
    let nested = "<cluster><name>C</name><dim>60000</dim><dimIncrement>0</dimIncrement><addressOffset>0</addressOffset>".repeat(4);
    let deep = "<cluster><name>C</name><addressOffset>0</addressOffset>".repeat(12);
    let cases = [
        (String::new(), "is no SVD file: "),
        ("no XML".into(), "is no SVD file: "),
        (device("<peripheral>"), "is no SVD file: "),
        ("<html></html>".into(), "it begins with <html>, not <device>"),
        ("<!DOCTYPE d [<!ENTITY a \"b\">]><device>&a;</device>".into(), "is no SVD file: "),
        (device("<peripheral><name>P</name><registers/></peripheral>"), ":2: <peripheral> P has no <baseAddress>"),
        (device("<peripheral derivedFrom=\"Q\"><name>P</name></peripheral>"), ":2: <peripheral> P derives from `Q`, which is not there"),
        (registers(&register("A", "A")), ":3: <register> P.A derives from itself, by `A`"),
        (registers(&(register("A", "B") + &register("B", "A"))), ":3: <register> P.A derives from itself, by `A`"),
        // Beginning outside the circle.
        (registers(&(register("C", "A") + &register("A", "P.B") + &register("B", "A"))), ":3: <register> P.C derives from itself, by `A`"),
        (
            device("<peripheral derivedFrom=\"Q\"><name>P</name></peripheral>\n<peripheral derivedFrom=\"P\"><name>Q</name></peripheral>"),
            "derives from itself",
        ),
        (
            registers(
                "<cluster><name>A</name><addressOffset>0</addressOffset><cluster derivedFrom=\"A\"><name>B</name><addressOffset>0</addressOffset></cluster></cluster>",
            ),
            "is the 8th cluster in a cluster",
        ),
        (registers(&format!("{deep}{}", "</cluster>".repeat(12))), "is the 8th cluster in a cluster"),
        (registers(&format!("{nested}{}", "</cluster>".repeat(4))), "is one of more than 65536 registers"),
        (
            registers(
                "<register><name>A%s</name><dim>70000</dim><dimIncrement>4</dimIncrement><addressOffset>0</addressOffset></register>",
            ),
            "is an array of 70000, 4 apart",
        ),
        (
            registers("<register><name>A</name><addressOffset>zero</addressOffset></register>"),
            ":3: <register> P.A has <addressOffset> `zero`, which is no number",
        ),
        (registers("<register><name>A</name><addressOffset>0xffffffffffffffff</addressOffset></register>"), "beyond 32 bits"),
        (
            registers(
                "<register><name>A</name><addressOffset>0</addressOffset><fields><field><name>F</name><bitRange>7</bitRange></field></fields></register>",
            ),
            "<field> P.A.F has <bitRange> `7`",
        ),
    ];
    for (nth, (text, said)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{nth}.svd"));
        fs::write(&path, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-c", &format!("svd {}", path.display())]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(8), "{text}\n{err}");
        assert!(err.contains(said), "no `{said}` of\n{text}\nin {err}");
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-c", "svd none.svd"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read none.svd"));
}

/// What has no end is not read.
#[cfg(unix)]
#[test]
fn devices_pipes_and_folders_are_no_svd_files() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in ["/dev/zero", fifo.to_str().unwrap(), folder.path().to_str().unwrap()] {
        let said = refuses("stm32h7", &format!("svd {path}"));
        assert!(said.contains(&format!("{path} is no regular file")), "{said}");
    }
}
