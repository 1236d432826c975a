import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

const loopback = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
] as const

/**
 * Resolves `localhost` and every name below it to 127.0.0.1 and ::1, as RFC 6761 (section 6.3) says, whatever the system's
 * resolver does with them; all other names as the system does.
 */
export const loopbackLookup: LookupFunction = (hostname, options, callback) => {
  if (!/^([^.]+\.)*localhost\.?$/i.test(hostname)) {
    systemLookup(hostname, options, callback)
    return
  }
  const asked = Number(String(options.family ?? 0).replace('IPv', ''))
  const found = asked === 0 ? [...loopback] : loopback.filter(({ family }) => family === asked)
  const [first = loopback[0]] = found
  // As the system's, after the caller has gone on: else nobody listens yet for the failure to open a socket.
  process.nextTick(() => {
    if (options.all === true) callback(null, found)
    else callback(null, first.address, first.family)
  })
}
