/** Tells this run of the process from every other: process ids alone come back, after a reboot in particular. */
export function processId(): string {
  return `${process.pid}-${Math.round(performance.timeOrigin)}`
}
