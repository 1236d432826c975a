import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

/**
 * Resolves `localhost` and every name below it to 127.0.0.1, as RFC 6761 (section 6.3) says, whatever the system's
 * resolver does with them; all other names as the system does.
 */
export const loopbackLookup: LookupFunction = (hostname, options, callback) => {
  if (!/^([^.]+\.)*localhost\.?$/i.test(hostname)) {
    systemLookup(hostname, options, callback)
    return
  }
  const address = '127.0.0.1'
  // As the system's, after the caller has gone on: else nobody listens yet for the failure to open a socket.
  process.nextTick(() => {
    if (options.all === true) callback(null, [{ address, family: 4 }])
    else callback(null, address, 4)
  })
}
