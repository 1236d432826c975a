const windowsMs = [1_000, 5_000] as const
const tries = 101

/**
 * How requests at these times, in milliseconds from the beginning of `withinMs`, were spread over it: the peak against the same
 * number in a perfectly even spread, and, because few requests a second bunch up by chance alone, the peak of as many at
 * independent random times. In words, for the output of a test.
 */
export function spreadOf(timesMs: readonly number[], withinMs: number): string {
  const sorted = timesMs.filter((atMs) => atMs >= 0 && atMs <= withinMs).toSorted((one, other) => one - other)
  const even = sorted.length / (withinMs / 1_000)
  const timesEven = (rate: number): string => (even === 0 ? '0' : (rate / even).toFixed(1))
  const peaks = windowsMs.map((windowMs) => {
    const peak = peakRate(sorted, windowMs)
    const byChance = peakByChance({ count: sorted.length, withinMs, windowMs })
    return `${peak.toFixed(1)}/s over ${windowMs / 1_000} s (${timesEven(peak)} times; by chance ${timesEven(byChance)})`
  })
  return (
    `${sorted.length} requests in ${(withinMs / 1_000).toFixed(1)} s, evenly ${even.toFixed(2)}/s; ` +
    `peak ${peaks.join(', ')}`
  )
}

/** The most in any window, in requests a second. */
export function peakRate(sortedMs: readonly number[], windowMs: number): number {
  let most = 0
  let first = 0
  for (const [index, atMs] of sortedMs.entries()) {
    while (atMs - (sortedMs[first] ?? atMs) >= windowMs) first += 1
    most = Math.max(most, index - first + 1)
  }
  return most / (windowMs / 1_000)
}

/** For how long there were more than that many requests a second, over 5 s each. */
export function secondsOver(sortedMs: readonly number[], perSecond: number): number {
  const [, windowMs] = windowsMs
  const counts = Map.groupBy(sortedMs, (atMs) => Math.floor(atMs / windowMs))
  const most = (perSecond * windowMs) / 1_000
  return ([...counts.values()].filter(({ length }) => length > most).length * windowMs) / 1_000
}

interface Sample {
  readonly count: number
  readonly withinMs: number
  readonly windowMs: number
}

/** The median over many tries, in requests a second. */
function peakByChance({ count, withinMs, windowMs }: Sample): number {
  const peaks = Array.from({ length: tries }, () => {
    const times = Float64Array.from({ length: count }, () => Math.random() * withinMs).toSorted()
    return peakRate([...times], windowMs)
  })
  return peaks.toSorted((one, other) => one - other)[Math.floor(tries / 2)] ?? 0
}
