/* The loops of the extractor that numpy cannot do in one sweep, as plain C99.
 *
 * Each function gives the same bits as the numpy code that it stands for (kernels.py names it): the same float64 and
 * float32 operations in the same order, without contraction (-ffp-contract=off) and without -ffast-math. Sums that
 * are reordered here are sums of whole numbers below 2^53, which are exact in any order. tests/unit/voice/egemaps/
 * test_kernels.py compares both on real and made-up recordings.
 *
 * Nothing is allocated, kept, read or written beyond the arrays handed over, whose sizes come with them. Rows have
 * at least 2 and at most MOST_BINS values (192 kHz: 8193); kernels.py sees to it.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#define VERSION 2
#define MOST_LAGS 2048
#define MOST_BINS 16385
#define STATES 7
#define CANDIDATES 6

EXPORT int32_t sottovoce_kernels_version(void) { return VERSION; }

/* ---- spectra ---- */

/* (n) complex128 -> (n) float32 absolute values; frames.magnitudes. */
EXPORT WIDE void sottovoce_magnitudes(const double *spectrum, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        double re = spectrum[2 * i], im = spectrum[2 * i + 1];
        out[i] = (float)sqrt(re * re + im * im);
    }
}

/* Strictly above both neighbours; at an end above the only one; numeric.local_maxima. */
static int is_maximum(const float *a, int64_t i, int64_t n)
{
    return (i == 0 || a[i] > a[i - 1]) && (i == n - 1 || a[i] > a[i + 1]);
}

/* Where the mask is 1, ascending; how many. */
static inline int64_t positions(const uint8_t *mask, int64_t n, int32_t *at)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        at[count] = (int32_t)i;
        count += mask[i];
    }
    return count;
}

/* (rows, n) float32 -> (rows, n) float64 with what lies far between two peaks set to 0; octave.enhanced. */
EXPORT WIDE void sottovoce_enhanced(const float *spectrum, int64_t rows, int64_t n, int32_t corrected, double *out)
{
    uint8_t mask[MOST_BINS];
    int32_t peaks[MOST_BINS];
    if (n < 2 || n > MOST_BINS) return;
    for (int64_t r = 0; r < rows; r++, spectrum += n, out += n) {
        const float *a = spectrum;
        for (int64_t i = 0; i < n; i++) out[i] = a[i];
        mask[0] = a[0] > a[1];
        for (int64_t i = 1; i < n - 1; i++) mask[i] = (a[i] > a[i - 1]) & (a[i] >= a[i + 1]);
        mask[n - 1] = a[n - 1] > a[n - 2];
        int64_t count = positions(mask, n, peaks);
        for (int64_t k = 1; k < count; k++)
            for (int32_t j = peaks[k - 1] + 3; j <= peaks[k] - 3; j++) out[j] = 0.0;
        if (count == 1 && !corrected)
            for (int64_t j = 3; j < n; j++) out[j] = 0.0;
    }
}

/* (rows, n) -> (rows, n) subharmonic sums; shifts and factors of the copies; pitch.summation. */
EXPORT WIDE void sottovoce_summation(const float *spectrum, int64_t rows, int64_t n, const int64_t *shifts,
                                     const float *factors, int64_t copies, float *out)
{
    for (int64_t r = 0; r < rows; r++, spectrum += n, out += n) {
        memcpy(out, spectrum, (size_t)n * sizeof *out);
        for (int64_t h = 0; h < copies; h++) {
            int64_t shift = shifts[h];
            float factor = factors[h];
            for (int64_t i = 0; i < n - shift; i++) out[i] += spectrum[i + shift] * factor;
        }
        for (int64_t i = 0; i < n; i++) {
            float mean = out[i] / (float)(copies + 1);
            out[i] = mean > 0.0f ? mean : 0.0f;
        }
    }
}

/* (rows, n) -> (rows, 6) positions of the largest inner peaks, of two equal points the first, -1 where there is none;
 * pitch._highest. */
EXPORT WIDE void sottovoce_highest(const float *total, int64_t rows, int64_t n, int64_t *out)
{
    uint8_t mask[MOST_BINS];
    int32_t maxima[MOST_BINS];
    if (n < 2 || n > MOST_BINS) return;
    for (int64_t r = 0; r < rows; r++, total += n, out += CANDIDATES) {
        int kept = 0;
        mask[0] = mask[n - 1] = 0;
        for (int64_t i = 1; i < n - 2; i++) {
            int falls = (total[i] > total[i + 1]) | ((total[i] == total[i + 1]) & (total[i] > total[i + 2]));
            mask[i] = (total[i] > total[i - 1]) & falls & (total[i] > 0.0f);
        }
        if (n > 2)
            mask[n - 2] = (total[n - 2] > total[n - 3]) & (total[n - 2] > total[n - 1]) & (total[n - 2] > 0.0f);
        int64_t count = positions(mask, n, maxima);
        for (int64_t k = 0; k < count; k++) {
            int64_t i = maxima[k];
            float here = total[i];
            if (kept == CANDIDATES && !(here > total[out[kept - 1]])) continue;
            int slot = kept < CANDIDATES ? kept++ : CANDIDATES - 1;
            for (; slot > 0 && here > total[out[slot - 1]]; slot--) out[slot] = out[slot - 1];
            out[slot] = i;
        }
        for (; kept < CANDIDATES; kept++) out[kept] = -1;
    }
}

/* ---- the path through the candidates; viterbi.Path._advance ---- */

/* (n, 7, 7) costs of steps (to, from), (n, 7) of states, (7) totals so far, updated -> (n, 7) predecessors. */
EXPORT void sottovoce_advance(const double *steps, const double *local, int64_t n, double *total, int64_t *came_from)
{
    for (int64_t t = 0; t < n; t++, steps += STATES * STATES, local += STATES, came_from += STATES) {
        double next[STATES];
        for (int to = 0; to < STATES; to++) {
            const double *step = steps + to * STATES;
            int best = 0;
            double least = step[0] + total[0];
            for (int from = 1; from < STATES; from++) {
                double cost = step[from] + total[from];
                if (cost < least) least = cost, best = from;
            }
            next[to] = least + local[to];
            came_from[to] = best;
        }
        memcpy(total, next, sizeof next);
    }
}

/* ---- harmonics; harmonics._Search, _without_doubles ---- */

/* Nearest bin to f at or after `start` (give or take one); 0 beyond the last bin. */
static int64_t near(double f, int64_t start, const double *axis, int64_t n)
{
    int64_t after = (int64_t)(f / axis[1]);
    if (after < 0) after = 0;
    if (after > n) after = n;
    while (after > 0 && axis[after - 1] > f) after--;
    while (after < n && !(axis[after] > f)) after++;
    if (after < start) after = start;
    if (after < 1) after = 1;
    if (after > n - 1) return 0;
    return axis[after] - f > f - axis[after - 1] ? after - 1 : after;
}

/* The peak at the centre, else the nearest one within half a harmonic (right wins); -1 if there is none. */
static int64_t peak_near(const float *a, int64_t n, int64_t centre, int64_t right_end, int64_t left_end)
{
    if (is_maximum(a, centre, n)) return centre;
    for (int64_t o = 1; centre + o <= right_end || centre - o >= left_end; o++) {
        if (centre + o <= right_end && centre + o < n && is_maximum(a, centre + o, n)) return centre + o;
        if (centre - o >= left_end && centre - o >= 0 && is_maximum(a, centre - o, n)) return centre - o;
    }
    return -1;
}

/* (rows, n) magnitudes, (rows) F0, (n) bins in Hz -> (rows, most) bins, 1 where found, 1 where doubled; all of
 * them zero before. */
EXPORT void sottovoce_harmonics(const float *magnitude, const double *f0_hz, int64_t rows, const double *axis,
                                int64_t n, int64_t most, int64_t *bins, uint8_t *found, uint8_t *doubled)
{
    for (int64_t r = 0; r < rows; r++, magnitude += n, bins += most, found += most, doubled += most) {
        double f0 = f0_hz[r];
        int64_t last = near(0.5 * f0, 1, axis, n), first = near(0.5 * f0, last, axis, n), before = -1;
        for (int64_t i = 0; i < most; i++) {
            int64_t centre = near((double)(i + 1) * f0, last, axis, n);
            if (centre > 0) {
                int64_t right_end = near(((double)i + 1.5) * f0, centre, axis, n);
                int64_t left_end = near(((double)i + 0.5) * f0, last, axis, n);
                int64_t peak = peak_near(magnitude, n, centre, right_end, left_end);
                found[i] = peak >= first && peak < n - 1;
                bins[i] = found[i] ? peak : centre;
            }
            doubled[i] = i > 0 && bins[i] == before;
            before = doubled[i] ? 0 : bins[i];
            last = centre;
        }
    }
}

/* (rows, n) autocorrelations, (rows) expected lags -> (rows) nearest inner local maximum, the shorter of two, else
 * 0; harmonics._nearest_maximum. */
EXPORT void sottovoce_nearest_maximum(const float *acf, int64_t rows, int64_t n, const int64_t *expected,
                                      int64_t *out)
{
    for (int64_t r = 0; r < rows; r++, acf += n) {
        int64_t lag = expected[r];
        out[r] = 0;
        for (int64_t o = 0; o < n + lag; o++) {
            int64_t shorter = lag - o, longer = lag + o;
            if (shorter >= 1 && shorter < n - 1 && is_maximum(acf, shorter, n)) { out[r] = shorter; break; }
            if (longer >= 1 && longer < n - 1 && is_maximum(acf, longer, n)) { out[r] = longer; break; }
            if (shorter < 1 && longer >= n - 1) break;
        }
    }
}

/* ---- periods; periods.Walk ---- */

typedef struct {
    int64_t carry;
    double last_jitter, last_shimmer;
    float last_period_s;
} memory_t;

typedef struct {
    int64_t periods, differences;
    double period_s, difference_s, amplitude, amplitude_difference;
} sums_t;

typedef struct {
    const double *steps, *total, *squares; /* n samples, n + 1 sums before each position */
    const float *signal;
    int64_t n;
    double rate_hz;
} waveform_t;

/* (count) sums of y[i] * y[p + i] over i < p, for the lags p = first ...: the shortest window for all, then the
 * rest. All sums are whole numbers. */
WIDE static void cross(const double *y, int64_t first, int64_t count, double *out)
{
    for (int64_t k = 0; k < count; k++) out[k] = 0.0;
    int64_t i = 0;
    for (; i + 4 <= first; i += 4) {
        const double *shifted = y + first + i;
        double a = y[i], b = y[i + 1], c = y[i + 2], d = y[i + 3];
        for (int64_t k = 0; k < count; k++)
            out[k] += (a * shifted[k] + b * shifted[k + 1]) + (c * shifted[k + 2] + d * shifted[k + 3]);
    }
    for (; i < first; i++)
        for (int64_t k = 0; k < count; k++) out[k] += y[i] * y[first + i + k];
    for (int64_t k = 1; k < count; k++)
        for (int64_t j = first; j < first + k; j++) out[k] += y[j] * y[first + k + j];
}

/* Pearson correlations; NaN without energy; periods._correlations. */
static void correlations(const waveform_t *w, int64_t at, int64_t first, int64_t count, double *out)
{
    cross(w->steps + at, first, count, out);
    for (int64_t k = 0; k < count; k++) {
        double p = (double)(first + k);
        int64_t middle = at + first + k, end = at + 2 * (first + k);
        double a0 = w->total[middle] - w->total[at], b0 = w->total[end] - w->total[middle];
        double a1 = w->squares[middle] - w->squares[at], b1 = w->squares[end] - w->squares[middle];
        double product = (p * a1 - a0 * a0) * (p * b1 - b0 * b0);
        double numerator = p * out[k] - a0 * b0;
        out[k] = product > 0.0 ? numerator / sqrt(product) : NAN;
    }
}

static double peak_to_peak(const float *y, int64_t n)
{
    float low = y[0], high = y[0];
    for (int64_t i = 1; i < n; i++) {
        low = y[i] < low ? y[i] : low;
        high = y[i] > high ? y[i] : high;
    }
    return (double)(high - low);
}

/* The period that starts at sample `at`, added to the sums; how many samples to go on. */
static int64_t one_period(const waveform_t *w, int64_t at, int64_t first, int64_t count, int64_t nominal,
                          memory_t *memory, sums_t *sums)
{
    double c[MOST_LAGS];
    correlations(w, at, first, count, c);
    int64_t best = -1;
    for (int64_t i = 1; i < count - 2; i++)
        if (c[i - 1] < c[i] && c[i] > c[i + 1] && (best < 0 || c[i] > c[best])) best = i;
    if (best < 0) return nominal;
    int64_t lag = first + best;
    double slope = (c[best + 1] - c[best - 1]) / 2, curvature = (c[best - 1] + c[best + 1]) / 2 - c[best];
    double refined = (double)lag - slope / (2 * curvature), height = c[best] - slope * slope / (4 * curvature);
    if (!(height > 0.5)) return lag;
    float period_s = (float)(fabs(refined) / w->rate_hz);
    double one = peak_to_peak(w->signal + at + 1, lag - 2), two = peak_to_peak(w->signal + at + lag + 1, lag - 2);
    sums->periods++;
    sums->period_s += (double)period_s;
    if (memory->last_period_s > 0.0f) {
        float difference = memory->last_period_s - period_s;
        sums->difference_s += (double)fabsf(difference);
        sums->differences++;
    }
    memory->last_period_s = period_s;
    sums->amplitude += (one + two) / 2;
    sums->amplitude_difference += fabs(one - two);
    return lag;
}

static void frame_values(const sums_t *sums, memory_t *memory, double *jitter, double *shimmer_db)
{
    *jitter = memory->last_jitter;
    if (sums->periods && !sums->differences) {
        *jitter = 0.0;
    } else if (sums->periods) {
        double mean_s = sums->period_s / (double)sums->periods;
        double ratio = sums->difference_s / (double)sums->differences / mean_s;
        *jitter = memory->last_jitter = ratio < 1.0 ? ratio : 1.0;
    }
    if (sums->periods) {
        double ratio = sums->amplitude != 0.0 ? sums->amplitude_difference / sums->amplitude : 0.0;
        memory->last_shimmer = ratio < 1.0 ? ratio : 1.0;
    }
    *shimmer_db = 20 * log10(1 + memory->last_shimmer);
}

/* (n) samples as steps and as float32, (n + 1) sums of them and of their squares, (frames) F0 -> (frames, 2) jitter
 * and shimmer. `memory` holds the carry, the last jitter and shimmer and the last period. Returns 0, or -1 where an
 * F0 or a frame does not fit the arrays; nothing beyond them is read. */
EXPORT int32_t sottovoce_periods(const double *steps, const double *total, const double *squares, const float *signal,
                                 int64_t n, const float *f0_hz, int64_t frames, int64_t sample_rate_hz, int64_t hop,
                                 int64_t length, double memory[4], double *out)
{
    waveform_t w = {steps, total, squares, signal, n, (double)sample_rate_hz};
    memory_t m = {(int64_t)memory[0], memory[1], memory[2], (float)memory[3]};
    int64_t origin = m.carry;
    for (int64_t t = 0; t < frames; t++, out += 2) {
        double f0 = (double)f0_hz[t];
        if (!(f0 > 0)) {
            m = (memory_t){0, 0.0, 0.0, 0.0f};
            out[0] = out[1] = 0.0;
            continue;
        }
        double period = (double)sample_rate_hz / f0;
        int64_t start = origin + t * hop - m.carry;
        int64_t lowest = (int64_t)floor(0.9 * period), highest = (int64_t)ceil(1.1 * period);
        int64_t nominal = (int64_t)floor(period + 0.5), count = highest - lowest + 1;
        int64_t least = hop + m.carry, need = least > 2 * highest + 2 ? least : 2 * highest + 2;
        if (need > m.carry + length) need = m.carry + length;
        if (lowest < 3 || count > MOST_LAGS || start < 0) return -1;
        sums_t sums = {0, 0, 0.0, 0.0, 0.0, 0.0};
        int64_t at = 0, last = 0;
        while (at < need - 2 * highest - 1) {
            if (start + at + 2 * highest > n) return -1;
            at += one_period(&w, start + at, lowest, count, nominal, &m, &sums);
            if (at < least - 1) last = at;
        }
        m.carry = least - last;
        frame_values(&sums, &m, &out[0], &out[1]);
    }
    memory[0] = (double)m.carry, memory[1] = m.last_jitter, memory[2] = m.last_shimmer;
    memory[3] = (double)m.last_period_s;
    return 0;
}
