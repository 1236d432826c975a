import { once } from 'node:events'
import { createServer } from 'node:net'

/** Whether tests over IPv6 have to be left out, which is said in the output. */
export async function lacksIpv6(what: string): Promise<boolean> {
  const server = createServer().listen(0, '::1')
  try {
    await once(server, 'listening')
    return false
  } catch {
    console.log(`skipped, because this machine has no ::1: ${what}`)
    return true
  } finally {
    server.close()
  }
}
