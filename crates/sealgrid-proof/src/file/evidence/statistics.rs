//! Whether two samples of what is sent can be told apart: position by position, and by what a machine learns of all positions together.

/// Groups that a number below 2^31 falls into by its lowest bits, and by its highest.
const GROUPS: usize = 16;
/// The probability that a test of two equal samples fails, for all positions together.
const ALPHA: f64 = 1e-6;

/// Numbers sent in two kinds of transcripts, counted, and their lowest and highest bits kept.
pub(super) struct Samples {
    positions: usize,
    /// Of each position: by kind, by lowest and highest bits, by group.
    counts: Vec<[[[u32; GROUPS]; 2]; 2]>,
    /// Of each transcript: its kind, and two bits a position, packed.
    bits: Vec<(usize, Vec<u64>)>,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) positions: usize,
    /// The greatest deviation of a position from equal samples, in standard deviations (the statistic of χ² with 15 degrees of freedom as Wilson and
    /// Hilferty make it a normal one), and where.
    pub(super) worst: f64,
    pub(super) at: usize,
    /// Which deviation none of the positions reaches but for a probability of [`ALPHA`].
    pub(super) limit: f64,
    /// The part of the transcripts it had not seen whose kind the logistic regression named.
    pub(super) accuracy: f64,
    /// How far that lies from one half in standard deviations of guessing.
    pub(super) beyond_guessing: f64,
}

impl Verdict {
    /// Whether the kinds were told apart by neither.
    pub(super) fn at_chance(&self) -> bool {
        self.worst < self.limit && self.beyond_guessing.abs() < 4.0
    }
}

impl Samples {
    pub(super) fn new(positions: usize) -> Self {
        Self { positions, counts: vec![[[[0; GROUPS]; 2]; 2]; positions], bits: Vec::new() }
    }

    /// Adds a transcript of a kind, 0 or 1.
    pub(super) fn add(&mut self, kind: usize, numbers: &[u32]) {
        assert_eq!(numbers.len(), self.positions, "transcripts of one shape");
        let mut bits = vec![0u64; (2 * self.positions).div_ceil(64)];
        for (position, number) in numbers.iter().enumerate() {
            let [low, high] = [*number as usize % GROUPS, *number as usize >> (31 - GROUPS.ilog2())];
            let [lowest, highest] = &mut self.counts[position][kind];
            lowest[low] += 1;
            highest[high] += 1;
            for (which, bit) in [(0, low & 1), (1, high >> (GROUPS.ilog2() - 1))] {
                let place = 2 * position + which;
                bits[place / 64] |= (bit as u64) << (place % 64);
            }
        }
        self.bits.push((kind, bits));
    }

    pub(super) fn verdict(&self) -> Verdict {
        let mut worst = (f64::MIN, 0);
        for (position, [one, other]) in self.counts.iter().enumerate() {
            for (one, other) in one.iter().zip(other) {
                let deviation = deviation(one, other);
                if deviation > worst.0 {
                    worst = (deviation, position);
                }
            }
        }
        let (right, of) = self.learnt();
        let accuracy = right as f64 / of as f64;
        let beyond_guessing = (accuracy - 0.5) * 2.0 * (of as f64).sqrt();
        let limit = limit(ALPHA / (2 * self.positions) as f64);
        Verdict { positions: self.positions, worst: worst.0, at: worst.1, limit, accuracy, beyond_guessing }
    }

    /// How many of the second half of the transcripts a logistic regression names rightly that has learnt from the first half, and of how many.
    fn learnt(&self) -> (usize, usize) {
        let (seen, unseen) = self.bits.split_at(self.bits.len() / 2);
        let features = 2 * self.positions;
        let mut weights = vec![0.0f32; features + 1];
        let sum = |weights: &[f32], bits: &[u64]| {
            let of = |feature: usize| if bits[feature / 64] >> (feature % 64) & 1 == 1 { 1.0 } else { -1.0 };
            weights[features] + (0..features).map(|feature| weights[feature] * of(feature)).sum::<f32>()
        };
        // Steps that stay small beside the number of features, and fewer and fewer of them.
        for round in 0..5u8 {
            let step = 0.5 / (features as f32) / f32::from(1 + round);
            for (kind, bits) in seen {
                let wanted = if *kind == 1 { 1.0 } else { 0.0 };
                let error = wanted - 1.0 / (1.0 + (-sum(&weights, bits)).exp());
                for (feature, weight) in weights[..features].iter_mut().enumerate() {
                    let sign = if bits[feature / 64] >> (feature % 64) & 1 == 1 { 1.0 } else { -1.0 };
                    *weight += step * error * sign;
                }
                weights[features] += step * error;
            }
        }
        let right = unseen.iter().filter(|(kind, bits)| (sum(&weights, bits) > 0.0) == (*kind == 1)).count();
        (right, unseen.len())
    }
}

/// How far the counts of two samples by groups are from those of two equal ones, in standard deviations.
fn deviation(one: &[u32; GROUPS], other: &[u32; GROUPS]) -> f64 {
    let totals = [one, other].map(|counts| counts.iter().map(|count| f64::from(*count)).sum::<f64>());
    let (mut statistic, mut degrees) = (0.0, -1.0);
    for (one, other) in one.iter().zip(other) {
        let both = f64::from(*one) + f64::from(*other);
        if both == 0.0 {
            continue;
        }
        degrees += 1.0;
        for (count, total) in [(*one, totals[0]), (*other, totals[1])] {
            let expected = both * total / (totals[0] + totals[1]);
            statistic += (f64::from(count) - expected).powi(2) / expected;
        }
    }
    if degrees == 0.0 {
        return 0.0;
    }
    let variance: f64 = 2.0 / (9.0 * degrees);
    ((statistic / degrees).cbrt() - (1.0 - variance)) / variance.sqrt()
}

/// A deviation that a normal variable exceeds with less than this probability: by the bound of Mills' ratio.
fn limit(probability: f64) -> f64 {
    let above = |deviation: f64| {
        (-deviation * deviation / 2.0).exp() / (deviation * (2.0 * std::f64::consts::PI).sqrt())
    };
    let (mut low, mut high) = (1.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if above(middle) > probability { low = middle } else { high = middle }
    }
    high
}

#[test]
fn equal_samples_are_not_told_apart_and_others_are() {
    let mut random = sealgrid_graph::arbitrary::Random::new(1);
    let mut draw = |limit| u32::try_from(random.below(limit)).expect("31 bits");
    let order = 0x7f00_0001;
    // Of the four kinds of differences each is seen: none, a low bit that is mostly 0, a smaller range, one that is 0 always.
    for (difference, at_chance) in [(0, true), (1, false), (2, false), (3, false)] {
        let mut samples = Samples::new(20);
        for number in 0..2000 {
            let kind = number % 2;
            let mut numbers: Vec<u32> = (0..20).map(|_| draw(order)).collect();
            match (difference, kind) {
                (1, 1) if number % 8 != 1 => numbers[7] &= !1,
                (2, 1) => numbers[7] /= 2,
                (3, 1) => numbers[7] = 0,
                _ => {}
            }
            samples.add(kind, &numbers);
        }
        let verdict = samples.verdict();
        assert_eq!(verdict.at_chance(), at_chance, "{difference}: {verdict:?}");
        assert!(at_chance || (verdict.at == 7 && verdict.beyond_guessing > 4.0), "{difference}: {verdict:?}");
    }
    // Two thousand samples of one half each: the deviation of one in a million.
    assert!((4.7..4.9).contains(&limit(1e-6)), "{}", limit(1e-6));
}
