import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A way to a local port that can be cut and throttled while it is in use. Disposing of it ends all connections. */
export interface BreakableLink extends AsyncDisposable {
  readonly port: number
  /** Resets what is open and whatever is opened until `mend`. */
  cut(): void
  /** From now on, what is sent to the port goes this fast per connection; answers come at full speed. */
  throttle(bytesPerSecond: number): void
  /** As it was at first. */
  mend(): void
}

const tickMs = 50

/** On the real clock: not for tests with fake timers. */
export async function openBreakableLink(toPort: number): Promise<BreakableLink> {
  const sockets = new Set<Socket>()
  let isCut = false
  let bytesPerSecond = Infinity
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  const server = createServer((near) => {
    if (isCut) {
      near.resetAndDestroy()
      return
    }
    const far = connect(toPort, '127.0.0.1')
    let timer: NodeJS.Timeout | undefined
    const end = (): void => {
      clearTimeout(timer)
      near.destroy()
      far.destroy()
    }
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    near.on('data', (bytes) => {
      far.write(bytes)
      if (bytesPerSecond === Infinity) return
      near.pause()
      timer = setTimeout(() => near.resume(), Math.max(tickMs, (bytes.length / bytesPerSecond) * 1_000))
    })
    far.pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    port,
    cut: () => {
      isCut = true
      reset()
    },
    throttle: (to) => {
      bytesPerSecond = to
    },
    mend: () => {
      isCut = false
      bytesPerSecond = Infinity
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      reset()
      await closed
    },
  }
}
