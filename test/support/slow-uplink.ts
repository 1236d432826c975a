import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

const tickMs = 100

export interface SlowUplinkOptions {
  /** On 127.0.0.1. */
  readonly toPort: number
  /** Of each connection, on the global timers. */
  readonly bytesPerSecond: number
}

/**
 * A way to a local port on which requests crawl while answers come at full speed. As on a real one, what was written
 * before a connection was given up still arrives.
 */
export interface SlowUplink extends AsyncDisposable {
  readonly port: number
}

export async function openSlowUplink({ toPort, bytesPerSecond }: SlowUplinkOptions): Promise<SlowUplink> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(toPort, '127.0.0.1')
    const timer = setInterval(() => {
      const bytes: unknown = near.read(Math.min(near.readableLength, (bytesPerSecond * tickMs) / 1_000))
      if (bytes instanceof Buffer) far.write(bytes)
    }, tickMs)
    const end = (): void => {
      clearInterval(timer)
      for (const socket of [near, far]) socket.destroy()
    }
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', end)
      socket.once('close', () => sockets.delete(socket))
    }
    far.pipe(near)
    near.pause()
    near.on('readable', () => undefined) // fills the buffer that the timer takes from
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
