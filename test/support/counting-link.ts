import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What went over a link, as the sockets saw it: TLS included, the headers of TCP and IP not. */
export interface LinkTraffic {
  readonly connections: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Pieces in which the bytes came: about the number of packets that hold any. */
  readonly pieces: number
}

/** A way to a local port on which everything is counted. Disposing of it ends all connections. */
export interface CountingLink extends AsyncDisposable {
  readonly port: number
  readonly traffic: () => LinkTraffic
}

export interface CountingLinkOptions {
  readonly toPort: number
  /** Connections on which nothing moves for so long are closed, as servers do; default never. */
  readonly idleMs?: number
}

/** On the real clock: not for tests with fake timers. */
export async function openCountingLink({ toPort, idleMs = 0 }: CountingLinkOptions): Promise<CountingLink> {
  const sockets = new Set<Socket>()
  const counted = { connections: 0, bytesSent: 0, bytesReceived: 0, pieces: 0 }
  const server = createServer({ noDelay: true }, (near) => {
    counted.connections += 1
    const far = connect({ port: toPort, host: '127.0.0.1', noDelay: true })
    const end = (): void => {
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
    near.setTimeout(idleMs, end)
    near.on('data', (bytes) => {
      counted.bytesSent += bytes.length
      counted.pieces += 1
    })
    far.on('data', (bytes) => {
      counted.bytesReceived += bytes.length
      counted.pieces += 1
    })
    near.pipe(far)
    far.pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    port,
    traffic: () => ({ ...counted }),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
