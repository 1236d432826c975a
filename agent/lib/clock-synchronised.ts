import { dlopen } from 'node:ffi'

const TIME_ERROR = 5
const STA_UNSYNC = 0x40
/** struct timex on 64-bit Linux, see adjtimex(2). */
const timexBytes = 208
const statusOffset = 40

/**
 * Whether an NTP client has told the kernel that the clock is right. Undefined where the kernel may not be asked, as in a unit
 * with ProtectClock=. Changes nothing.
 */
export function isClockSynchronised(): boolean | undefined {
  try {
    using libc = dlopen(null, { adjtimex: { arguments: ['buffer'], return: 'i32' } })
    const timex = Buffer.alloc(timexBytes) // modes 0: read only
    const state = libc.functions.adjtimex(timex)
    if (state < 0) return undefined
    return state !== TIME_ERROR && (timex.readInt32LE(statusOffset) & STA_UNSYNC) === 0
  } catch {
    return undefined
  }
}
