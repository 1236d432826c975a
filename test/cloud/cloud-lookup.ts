import type { LookupFunction } from 'node:net'

import type { Faults } from './faults.ts'

/**
 * A resolver with the signature of `dns.lookup`, for the agents of HTTP clients: `localhost` and names below it are
 * loopback (RFC 6761), no other name exists, and none does while a dns fault is on.
 */
export function createLookup(faults: Faults): LookupFunction {
  return (hostname, options, callback) => {
    const code = faults.takeForLookup(hostname) ?? (/(^|\.)localhost\.?$/i.test(hostname) ? undefined : 'ENOTFOUND')
    queueMicrotask(() => {
      if (code !== undefined) {
        callback(
          Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), { code, hostname, syscall: 'getaddrinfo' }),
          '',
        )
      } else if (options.all === true) {
        callback(null, [{ address: '127.0.0.1', family: 4 }])
      } else {
        callback(null, '127.0.0.1', 4)
      }
    })
  }
}
