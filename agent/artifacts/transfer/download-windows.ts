/** Times of day on the device's clock, `HH:MM`; may reach over midnight. */
export interface DownloadWindow {
  readonly from: string
  readonly to: string
}

const dayMs = 86_400_000

/** How long it takes until a window is open; 0 when one is, or when there is none at all. */
export function msUntilOpen(windows: readonly DownloadWindow[], at: Date): number {
  if (windows.length === 0) return 0
  const now = ((at.getHours() * 60 + at.getMinutes()) * 60 + at.getSeconds()) * 1000 + at.getMilliseconds()
  return Math.min(...windows.map((window) => msUntil(window, now)))
}

function msUntil({ from, to }: DownloadWindow, now: number): number {
  const start = timeOfDay(from)
  const sinceStart = (now - start + dayMs) % dayMs
  const length = (timeOfDay(to) - start + dayMs) % dayMs
  return sinceStart < length ? 0 : dayMs - sinceStart
}

function timeOfDay(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number)
  return (hours * 60 + minutes) * 60_000
}
