//! What the compiler made of a kernel: the machine code of this very program, for tests that assert on it.
//!
//! Whether a loop is vectorised is decided here by its instructions and not by a clock: a function's code is found by its
//! pointer, disassembled by `objdump` (binutils, which a Rust toolchain on Linux links with), and cut into its innermost
//! loops. Code for an instruction set can be looked at on a CPU that lacks it.

use std::collections::HashMap;
use std::ops::Range;
use std::process::Command;
use std::sync::OnceLock;

use super::isa::{self, Each, Loop as EachLoop, Task};

mod tests;

/// The width of a vector register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    Xmm,
    Ymm,
    Zmm,
}

impl Width {
    /// That of a register's name, the widest that an instruction has.
    fn of(operands: &str) -> Option<Width> {
        [("zmm", Width::Zmm), ("ymm", Width::Ymm), ("xmm", Width::Xmm)]
            .into_iter()
            .find_map(|(name, width)| operands.contains(name).then_some(width))
    }
}

/// The functions that [`Isa::run`](super::Isa::run) calls for a kind of task, each with the registers it may use.
pub fn functions<K: Task>() -> [(Width, usize); 2] {
    let avx2: unsafe fn(K) -> K::Output = isa::avx2::<K, K>;
    let avx512: unsafe fn(K) -> K::Output = isa::avx512::<K, K>;
    [(Width::Ymm, avx2 as usize), (Width::Zmm, avx512 as usize)]
}

/// The loops that [`Isa::each`](super::Isa::each) chooses from, each with the registers it may use.
pub fn functions_of_each<T, E: Each<T>>() -> [(Width, usize); 2] {
    let (avx2, avx512): (EachLoop<T>, EachLoop<T>) = (isa::avx2_each::<T, E>, isa::avx512_each::<T, E>);
    [(Width::Ymm, avx2 as usize), (Width::Zmm, avx512 as usize)]
}

/// An innermost loop: how many instructions of each kind it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    /// Arithmetic on all lanes of a register, by its width.
    packed: [usize; 3],
    /// Those of them that multiply and add.
    pub fused: usize,
    /// Arithmetic on one number.
    pub scalar: usize,
    /// Those of them that multiply and add.
    pub scalar_fused: usize,
    /// Vectors written to memory.
    pub stores: usize,
    /// Calls of other functions.
    pub calls: usize,
}

impl Loop {
    pub fn packed(&self, width: Width) -> usize {
        self.packed[width as usize]
    }

    fn of(code: &[Instruction<'_>]) -> Loop {
        let mut found = Loop::default();
        for Instruction { mnemonic, operands, .. } in code {
            found.calls += usize::from(mnemonic.starts_with("call"));
            let to = operands.split(',').next().unwrap_or_default();
            let moves = mnemonic.contains("movup") || mnemonic.contains("movap");
            found.stores += usize::from(moves && to.contains('['));
            match (is_arithmetic(mnemonic), Width::of(operands)) {
                (Some(Lanes::One), _) => {
                    found.scalar += 1;
                    found.scalar_fused += usize::from(mnemonic.contains("fmadd"));
                }
                (Some(Lanes::All), Some(width)) => {
                    found.packed[width as usize] += 1;
                    found.fused += usize::from(mnemonic.contains("fmadd"));
                }
                _ => {}
            }
        }
        found
    }
}

enum Lanes {
    One,
    All,
}

/// Whether an instruction computes with floats, and with how many of a register's.
fn is_arithmetic(mnemonic: &str) -> Option<Lanes> {
    const FAMILIES: [&str; 12] =
        ["add", "sub", "mul", "div", "sqrt", "max", "min", "fmadd", "fmsub", "fnmadd", "fnmsub", "rndscale"];
    let name = mnemonic.strip_prefix('v').unwrap_or(mnemonic);
    let (stem, lanes) = match name.split_at_checked(name.len().saturating_sub(2))? {
        (stem, "ps" | "pd") => (stem, Lanes::All),
        (stem, "ss" | "sd") => (stem, Lanes::One),
        _ => return None,
    };
    FAMILIES.contains(&stem.trim_end_matches(|c: char| c.is_ascii_digit())).then_some(lanes)
}

#[derive(Clone, Copy)]
struct Instruction<'a> {
    address: u64,
    mnemonic: &'a str,
    operands: &'a str,
}

impl<'a> Instruction<'a> {
    /// `  25bc80:<tab>vfmadd231ps zmm0,zmm1,zmm2`
    fn parse(line: &'a str) -> Option<Self> {
        let (address, text) = line.split_once(":\t")?;
        let (mnemonic, operands) = text.split_once(' ').unwrap_or((text, ""));
        Some(Instruction {
            address: u64::from_str_radix(address.trim(), 16).ok()?,
            mnemonic,
            operands: operands.trim_start(),
        })
    }

    /// Where it jumps to, if it jumps to an address that it names.
    fn jumps_to(&self) -> Option<u64> {
        let target = self.operands.split(' ').next()?;
        self.mnemonic.starts_with('j').then(|| u64::from_str_radix(target, 16).ok())?
    }
}

/// The disassembly of this program.
struct Disassembly {
    text: String,
    /// Where the lines of the function at an address are.
    functions: HashMap<u64, Range<usize>>,
    /// What the addresses of the running program are above those in its file.
    base: u64,
}

impl Disassembly {
    /// That of this program; none where there is no `objdump`, which is said once.
    fn of_this_program() -> Option<&'static Disassembly> {
        static ONCE: OnceLock<Option<Disassembly>> = OnceLock::new();
        ONCE.get_or_init(Disassembly::make).as_ref()
    }

    fn make() -> Option<Disassembly> {
        let program = std::env::current_exe().expect("a test has a file");
        let output = Command::new("objdump").args(["-d", "--no-show-raw-insn", "-M", "intel"]).arg(&program).output();
        let Ok(output) = output else {
            println!("no objdump here (it is in binutils): the machine code is not looked at");
            return None;
        };
        assert!(output.status.success(), "objdump: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let maps = std::fs::read_to_string("/proc/self/maps").expect("on Linux");
        let first =
            maps.lines().find(|line| line.ends_with(&*program.to_string_lossy())).expect("the program is mapped");
        let start = first.split('-').next().and_then(|start| u64::from_str_radix(start, 16).ok()).expect("an address");
        let functions = Disassembly::index(&text);
        // What is not position-independent lies where its file says.
        let base = if functions.keys().any(|&address| address >= start) { 0 } else { start };
        Some(Disassembly { text, functions, base })
    }

    /// Functions start with a line `000000000025b7e0 <name>:` and end with an empty one.
    fn index(text: &str) -> HashMap<u64, Range<usize>> {
        let mut functions = HashMap::new();
        for (at, _) in text.match_indices(">:\n") {
            let line = &text[text[..at].rfind('\n').map_or(0, |newline| newline + 1)..at];
            let address = line.split_once(" <").and_then(|(address, _)| u64::from_str_radix(address, 16).ok());
            if let Some(address) = address {
                let body = at + 3;
                let len = text[body..].find("\n\n").unwrap_or(text.len() - body);
                functions.insert(address, body..body + len);
            }
        }
        functions
    }
}

/// The innermost loops of the function at a pointer; none where there is nothing to disassemble with.
pub fn loops(function: usize) -> Option<Vec<Loop>> {
    let Disassembly { text, functions, base } = Disassembly::of_this_program()?;
    let lines = functions.get(&(function as u64 - base)).expect("a symbol of every function: is the program stripped?");
    let code: Vec<Instruction<'_>> = text[lines.clone()].lines().filter_map(Instruction::parse).collect();
    let first = code.first().expect("a function has code").address;
    let mut loops: Vec<Range<u64>> = code
        .iter()
        .filter_map(|i| i.jumps_to().filter(|to| (first..=i.address).contains(to)).map(|to| to..i.address))
        .collect();
    loops.dedup();
    let inside = |a: &Range<u64>, b: &Range<u64>| a != b && b.start <= a.start && a.end <= b.end;
    let innermost = loops.iter().filter(|outer| !loops.iter().any(|inner| inside(inner, outer)));
    let instructions = |span: &Range<u64>| {
        let index = |address| code.partition_point(|i| i.address < address);
        &code[index(span.start)..=index(span.end)]
    };
    Some(innermost.map(|span| Loop::of(instructions(span))).collect())
}

/// The loop that does the most arithmetic in registers of this width, if the function is vectorised: that loop calls
/// nothing and does nothing one number at a time. What other loops do that way is what is left of a vector: no more
/// instructions, but for those of few instructions, which the compiler repeats up to four times.
pub fn vectorised(loops: &[Loop], width: Width) -> Result<&Loop, String> {
    const REPEATS: usize = 4;
    let hot = loops.iter().max_by_key(|l| l.packed(width)).filter(|l| l.packed(width) > 0);
    let hot = hot.ok_or_else(|| format!("no loop computes with {width:?} registers: {loops:?}"))?;
    let (packed, most) = (hot.packed(width), loops.iter().map(|l| l.scalar).max().unwrap_or(0));
    match hot {
        Loop { scalar: 1.., .. } | Loop { calls: 1.., .. } => Err(format!("the hot loop is not all vectors: {hot:?}")),
        _ if most > packed.max(REPEATS) => Err(format!("{most} scalar instructions are in a loop, beside {hot:?}")),
        _ => Ok(hot),
    }
}

/// Asserts that the functions of a task are vectorised.
#[track_caller]
pub fn assert_vectorised<K: Task>(name: &str) {
    for (width, function) in functions::<K>() {
        let Some(loops) = loops(function) else { return };
        if let Err(reason) = vectorised(&loops, width) {
            panic!("{name}: {reason}");
        }
    }
}
