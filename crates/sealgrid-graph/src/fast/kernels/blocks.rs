//! The loops around a dot product, written once and expanded for each vector width.
//!
//! A *unit* is 32 bits that one instruction multiplies and adds: four 8-bit or two 16-bit elements. A *block*
//! is `MR × NR` vectors of accumulators: `NR` vectors of units against `MR` single units, broadcast. A linear
//! operation has output channels on the lanes and records on the broadcast side; a convolution has pixels on
//! the lanes and output channels on the broadcast side, so both write row-major results without a transpose.

/// Expands to `linear` over the vector operations of the parent module.
macro_rules! linear_blocks {
    ($dot:ident, $(#[$feature:meta])*) => {
        use super::super::LinearJob;
        use super::{LANES, OutputStage, load, splat, store, vectors_max, $dot as dot};

        /// All rows of a linear operation.
        ///
        /// # Safety
        /// The job's pointers and counts were checked against their slices (`LinearJob` is only made there).
        $(#[$feature])*
        pub(in super::super) unsafe fn linear(job: &LinearJob) {
            let widest = rows_at_once(job.rows);
            let mut panel = 0;
            while panel < job.panels {
                let left = job.panels - panel;
                let wide = vectors_max(widest).min(left);
                let vectors = if wide >= 8 { 8 } else if wide >= 4 { 4 } else if wide >= 2 { 2 } else { 1 };
                let mut row = 0;
                while row < job.rows {
                    let rows = rows_at_once(job.rows - row);
                    // SAFETY: `row + rows <= job.rows` and `panel + vectors <= job.panels`.
                    unsafe {
                        match (rows, vectors) {
                            (1, 8) => linear_block::<1, 8>(job, row, panel),
                            (2, 8) => linear_block::<2, 8>(job, row, panel),
                            (1, 4) => linear_block::<1, 4>(job, row, panel),
                            (2, 4) => linear_block::<2, 4>(job, row, panel),
                            (4, 4) => linear_block::<4, 4>(job, row, panel),
                            (_, 4) => linear_block::<6, 4>(job, row, panel),
                            (1, 2) => linear_block::<1, 2>(job, row, panel),
                            (2, 2) => linear_block::<2, 2>(job, row, panel),
                            (4, 2) => linear_block::<4, 2>(job, row, panel),
                            (_, 2) => linear_block::<6, 2>(job, row, panel),
                            (1, _) => linear_block::<1, 1>(job, row, panel),
                            (2, _) => linear_block::<2, 1>(job, row, panel),
                            (4, _) => linear_block::<4, 1>(job, row, panel),
                            (_, _) => linear_block::<6, 1>(job, row, panel),
                        }
                    }
                    row += rows;
                }
                panel += vectors;
            }
        }

        fn rows_at_once(left: usize) -> usize {
            match left {
                0 | 1 => 1,
                2 | 3 => 2,
                4 | 5 => 4,
                _ => 6,
            }
        }

        $(#[$feature])*
        #[inline]
        unsafe fn linear_block<const MR: usize, const NR: usize>(job: &LinearJob, row: usize, panel: usize) {
            // SAFETY: panels lie `groups · LANES` units apart, rows `groups` apart, and the caller's block is
            // inside both; bias and stage are padded to whole panels.
            unsafe {
                let mut sums = [[splat(0); NR]; MR];
                let panels = job.weights.add(panel * job.groups * LANES);
                let scalars = job.units.add(row * job.groups);
                for group in 0..job.groups {
                    let mut weights = [splat(0); NR];
                    for (v, weight) in weights.iter_mut().enumerate() {
                        *weight = load(panels.add((v * job.groups + group) * LANES));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let unit = splat(*scalars.add(r * job.groups + group));
                        for v in 0..NR {
                            sums[v] = dot(sums[v], unit, weights[v]);
                        }
                    }
                }
                for v in 0..NR {
                    let channel = (panel + v) * LANES;
                    let bias = load(job.stage.bias.add(channel));
                    let stage = OutputStage::per_lane(&job.stage, channel);
                    let lanes = (job.channels - channel).min(LANES);
                    for (r, sums) in sums.iter().enumerate() {
                        let position = (row + r) * job.channels + channel;
                        store(job.output, position, stage.apply(sums[v], bias), lanes);
                    }
                }
            }
        }
    };
}
pub(super) use linear_blocks;

/// Expands to `convolve` over the vector operations of the parent module.
macro_rules! convolve_blocks {
    ($dot:ident, $(#[$feature:meta])*) => {
        use super::super::ConvolveJob;
        use super::{CHANNELS_MAX, LANES, OutputStage, columns_max, load, splat, store, $dot as dot};

        /// All output channels of one tile of pixels.
        ///
        /// # Safety
        /// The job's pointers and counts were checked against their slices (`ConvolveJob` is only made there).
        $(#[$feature])*
        pub(in super::super) unsafe fn convolve(job: &ConvolveJob) {
            let vectors = job.pixels.div_ceil(LANES);
            let mut channel = 0;
            for block in 0..job.blocks {
                let rows = (job.channels - channel).div_ceil(job.blocks - block);
                debug_assert!(rows <= CHANNELS_MAX);
                let most = columns_max(rows);
                let mut vector = 0;
                while vector < vectors {
                    let left = vectors - vector;
                    // Split evenly: a full block and a single vector would leave most lanes idle.
                    let columns = left.div_ceil(left.div_ceil(most));
                    // SAFETY: `vector + columns` vectors lie inside the tile, `channel + rows` inside the weights.
                    unsafe { convolve_columns(job, channel, rows, vector, columns); }
                    vector += columns;
                }
                channel += rows;
            }
        }

        $(#[$feature])*
        #[inline]
        unsafe fn convolve_columns(job: &ConvolveJob, channel: usize, rows: usize, vector: usize, columns: usize) {
            // SAFETY: as the caller's.
            unsafe {
                match (rows, columns) {
                    (1, 1) => convolve_block::<1, 1>(job, channel, vector),
                    (1, 2) => convolve_block::<1, 2>(job, channel, vector),
                    (1, 3) => convolve_block::<1, 3>(job, channel, vector),
                    (1, _) => convolve_block::<1, 4>(job, channel, vector),
                    (2, 1) => convolve_block::<2, 1>(job, channel, vector),
                    (2, 2) => convolve_block::<2, 2>(job, channel, vector),
                    (2, 3) => convolve_block::<2, 3>(job, channel, vector),
                    (2, _) => convolve_block::<2, 4>(job, channel, vector),
                    (3, 1) => convolve_block::<3, 1>(job, channel, vector),
                    (3, 2) => convolve_block::<3, 2>(job, channel, vector),
                    (3, 3) => convolve_block::<3, 3>(job, channel, vector),
                    (3, _) => convolve_block::<3, 4>(job, channel, vector),
                    (4, 1) => convolve_block::<4, 1>(job, channel, vector),
                    (4, 2) => convolve_block::<4, 2>(job, channel, vector),
                    (4, 3) => convolve_block::<4, 3>(job, channel, vector),
                    (4, _) => convolve_block::<4, 4>(job, channel, vector),
                    (5, 1) => convolve_block::<5, 1>(job, channel, vector),
                    (5, 2) => convolve_block::<5, 2>(job, channel, vector),
                    (5, 3) => convolve_block::<5, 3>(job, channel, vector),
                    (5, _) => convolve_block::<5, 4>(job, channel, vector),
                    (6, 1) => convolve_block::<6, 1>(job, channel, vector),
                    (6, 2) => convolve_block::<6, 2>(job, channel, vector),
                    (6, 3) => convolve_block::<6, 3>(job, channel, vector),
                    (6, _) => convolve_block::<6, 4>(job, channel, vector),
                    (7, 1) => convolve_block::<7, 1>(job, channel, vector),
                    (7, 2) => convolve_block::<7, 2>(job, channel, vector),
                    (7, _) => convolve_block::<7, 3>(job, channel, vector),
                    (_, 1) => convolve_block::<8, 1>(job, channel, vector),
                    (_, 2) => convolve_block::<8, 2>(job, channel, vector),
                    (_, _) => convolve_block::<8, 3>(job, channel, vector),
                }
            }
        }

        $(#[$feature])*
        #[inline]
        unsafe fn convolve_block<const MR: usize, const NR: usize>(job: &ConvolveJob, channel: usize, vector: usize) {
            // SAFETY: the tile has `groups` rows of `pitch` units, the block's weights are `groups · MR` units
            // from `channel · groups` on, and the caller's block is inside both.
            unsafe {
                let mut sums = [[splat(0); NR]; MR];
                let tile = job.tile.add(vector * LANES);
                let weights = job.weights.add(channel * job.groups);
                for group in 0..job.groups {
                    let mut pixels = [splat(0); NR];
                    for (v, pixels) in pixels.iter_mut().enumerate() {
                        *pixels = load(tile.add(group * job.pitch + v * LANES));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let weight = splat(*weights.add(group * MR + r));
                        for v in 0..NR {
                            sums[v] = dot(sums[v], pixels[v], weight);
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    let bias = splat(*job.stage.bias.add(channel + r));
                    let stage = OutputStage::broadcast(&job.stage, channel + r);
                    for (v, &sum) in sums.iter().enumerate() {
                        let pixel = (vector + v) * LANES;
                        let lanes = (job.pixels - pixel).min(LANES);
                        let position = (channel + r) * job.plane + job.first_pixel + pixel;
                        store(job.output, position, stage.apply(sum, bias), lanes);
                    }
                }
            }
        }
    };
}
pub(super) use convolve_blocks;
