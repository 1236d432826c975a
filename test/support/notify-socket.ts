import { rmSync } from 'node:fs'
import { dlopen } from 'node:ffi'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const maxMessageBytes = 65_536

/** The service manager's end of a notification socket. Node has no datagram sockets of this family. */
export interface NotifySocket extends Disposable {
  /** What has come since the last call, in order; each one datagram, as its lines. */
  readonly take: () => readonly (readonly string[])[]
}

/** Listens at a path, or at `@name` in the abstract namespace. */
export function listenForNotify(address: string): NotifySocket {
  const { functions } = dlopen(null, {
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    bind: { arguments: ['i32', 'buffer', 'u32'], return: 'i32' },
    recv: { arguments: ['i32', 'buffer', 'u64', 'i32'], return: 'i64' },
    close: { arguments: ['i32'], return: 'i32' },
  })
  const descriptor = functions.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  const name = address.startsWith('@') ? `\0${address.slice(1)}` : address
  const sockaddr = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(name)])
  if (functions.bind(descriptor, sockaddr, sockaddr.length) !== 0) throw new Error(`cannot bind ${address}`)
  const buffer = Buffer.alloc(maxMessageBytes)
  return {
    take: () => {
      const messages: string[][] = []
      for (;;) {
        const length = Number(functions.recv(descriptor, buffer, BigInt(buffer.length), MSG_DONTWAIT))
        if (length < 0) return messages
        messages.push(buffer.toString('utf8', 0, length).split('\n'))
      }
    },
    [Symbol.dispose]() {
      functions.close(descriptor)
      if (!address.startsWith('@')) rmSync(address, { force: true })
    },
  }
}
