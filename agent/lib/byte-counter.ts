import type { Socket } from 'node:net'

/**
 * Bytes sent and received over TCP, by sockets that are handed to it as they are opened, and by whoever counts for itself.
 * What a socket carries is counted while it is open, too.
 */
export class ByteCounter {
  readonly #open = new Set<Socket>()
  #closedBytes = 0

  /** Since the start. Never gets less. */
  get bytes(): number {
    let bytes = this.#closedBytes
    for (const socket of this.#open) bytes += bytesOf(socket)
    return bytes
  }

  /** Counts a socket from its first byte to its last; a socket of TCP, not one of TLS on top of it. */
  follow(socket: Socket): void {
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#closedBytes += bytesOf(socket)
    })
  }

  /** Of a connection whose sockets are out of reach. */
  add(bytes: number): void {
    this.#closedBytes += bytes
  }
}

function bytesOf({ bytesRead, bytesWritten }: Socket): number {
  return bytesRead + bytesWritten
}
