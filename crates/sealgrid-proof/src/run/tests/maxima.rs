//! Maxima of what is clamped behind them.

use sealgrid_graph::integer::Window;

use super::*;

/// What is under a convolution whose results are taken for maxima.
struct Pooling {
    /// Bounds of the convolution's results.
    bounds: (i32, i32),
    shifts: [u8; 2],
    /// Whether something else takes them, too.
    also: bool,
    /// How the maxima are told: of windows, or of whole channels.
    windows: bool,
}

/// The convolution and the maxima, by their numbers among the operations.
const CONVOLUTION: usize = 0;
const MAXIMA: usize = 1;

fn graph(of: &Pooling) -> Arc<Graph> {
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 1, 6, 6]) }]);
    let x = builder.input(0);
    let weights = (0..18).map(|at: i32| i8::try_from(at * 53 % 255 - 127).expect("a byte")).collect();
    let weight = builder.parameter(Tensor::new(shape(&[2, 1, 3, 3]), Data::I8(weights)).expect("filled"));
    let bias = builder.parameter(Tensor::new(shape(&[2]), Data::I32(vec![3000, -900])).expect("filled"));
    let window = |kernel: usize, stride: usize, before: usize| Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_before: vec![before; 2],
        pads_after: vec![0; 2],
    };
    let ((low, high), shifts) = (of.bounds, of.shifts.to_vec());
    let requantise = Requantise { multipliers: vec![5, 7], shifts, low, high, output: DType::I16 };
    let window_of_sums = window(3, 1, 0);
    let sums = Primitive::Convolution { weight, bias, window: window_of_sums, groups: 1, requantise };
    let sums = builder.push("sums", sums, &[x]).expect("valid");
    let maxima = match of.windows {
        // The first window of either axis begins beside the operand.
        true => Primitive::PoolMaximum { window: window(3, 2, 1) },
        false => Primitive::ReduceMaximum { axes: vec![2, 3] },
    };
    let maxima = builder.push("maxima", maxima, &[sums]).expect("valid");
    let mut outputs = vec![maxima];
    if of.also {
        let least = builder.push("least", Primitive::Minimum, &[sums, sums]).expect("valid");
        outputs.push(least);
    }
    Arc::new(builder.finish(outputs).expect("valid"))
}

/// Whether the run has a column for an operation's results.
fn has_column(run: &Run, operation: usize) -> bool {
    run.columns.iter().any(|column| matches!(column, Column::Output { index, .. } if *index == operation))
}

/// What a sum reaches here: shifted by 8 bits some thousand, by 11 some hundred.
const LATER: [Pooling; 4] = [
    Pooling { bounds: (0, 127), shifts: [11, 12], also: false, windows: true },
    Pooling { bounds: (-90, 100), shifts: [12, 12], also: false, windows: false },
    // Bounds that nothing reaches.
    Pooling { bounds: (-30_000, 30_000), shifts: [13, 12], also: false, windows: true },
    // One result for all that is clamped.
    Pooling { bounds: (20, 21), shifts: [13, 13], also: false, windows: false },
];

#[test]
fn what_is_taken_for_maxima_alone_is_clamped_behind_them() {
    for (number, of) in LATER.iter().enumerate() {
        for records in [1, 3] {
            let [owned, combined] = Owned::each(|| Case::new(graph(of), records), 3);
            for (owned, private) in [(&owned, false), (&owned, true), (&combined, true)] {
                for (inputs, shown) in [("told", true), ("hidden", true), ("committed", false)] {
                    check_run(owned, private, inputs, shown);
                }
            }
            for run in [
                owned.case.run(Inputs::Private(records), owned.case.outputs.clone()).expect("provable"),
                owned.prover().expect("provable"),
            ] {
                assert!(!has_column(&run, CONVOLUTION), "{number}");
                assert!(has_column(&run, MAXIMA), "{number}");
            }
        }
    }
    // Something else takes the sums; their differences, or they themselves, are too far apart for short tables.
    let at_once = [
        Pooling { also: true, ..LATER[0] },
        Pooling { shifts: [4, 4], ..LATER[0] },
        Pooling { bounds: (-30_000, 30_000), shifts: [3, 3], ..LATER[0] },
    ];
    for of in &at_once {
        let [owned, _] = Owned::each(|| Case::new(graph(of), 2), 3);
        check_run(&owned, false, "hidden", true);
        check_run(&owned, true, "hidden", true);
        let run = owned.case.run(Inputs::Private(2), owned.case.outputs.clone()).expect("provable");
        assert!(!has_column(&run, MAXIMA), "{:?}", of.shifts);
    }
}

#[test]
fn no_number_of_what_is_clamped_behind_maxima_may_be_another() {
    let mut lies = 0;
    for of in &LATER {
        let case = Case::new(graph(of), 2);
        let run = case.run(Inputs::Private(2), case.outputs.clone()).expect("provable");
        let (whole, columns) = run.whole(&case);
        assert!(run.holds(&whole));
        let taken = case.taken(&run);
        let is_made = |place: &usize| {
            columns[*place].is_some_and(|column| !matches!(run.columns[column], Column::Input { .. }))
        };
        for place in run.lookups.places().own.clone().filter(is_made) {
            for change in [1, -1, 2, 64, -2048, 1 << 20] {
                let mut whole = whole.clone();
                whole[1][place] += Element::from_i64(change);
                // As it is, and with everything that follows from it: remainders that make a quotient no integer, or another one.
                assert!(!run.holds(&whole), "place {place}, {change}");
                let memo = Memo::default();
                let behind = run.columns[columns[place].expect("a column's") + 1..].iter();
                behind.for_each(|column| run.fill(column, 1, &mut whole[1], &memo, &taken));
                assert!(!run.holds(&whole), "place {place}, {change}, all behind it");
                lies += 1;
            }
        }
    }
    assert!(lies > 1000, "{lies}");
}
