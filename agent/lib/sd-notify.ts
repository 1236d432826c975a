import { dlopen } from 'node:ffi'

import { AgentError } from './errors.ts'

/** The service manager's notification socket, as in sd_notify(3). */
export interface SdNotify extends Disposable {
  /**
   * Sends assignments such as `READY=1` as one datagram. Answers whether the service manager's queue took it: never
   * waits and never throws, so that a service manager that hangs cannot hang the caller.
   */
  send(...assignments: readonly string[]): boolean
}

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
/** sizeof(sun_path), see unix(7). */
const maxPathBytes = 108

/**
 * Opens a socket towards `path`, the value of `$NOTIFY_SOCKET`: an absolute path, or `@` and a name in the abstract
 * namespace. Node has no datagram sockets of this family, so libc is called directly: nothing is spawned, and the
 * sender's process id, which systemd checks, is our own. Throws an AgentError for any other address.
 */
export function openSdNotify(path: string): SdNotify {
  const address = socketAddress(path)
  const libc = dlopen(null, {
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    sendto: { arguments: ['i32', 'buffer', 'u64', 'i32', 'buffer', 'u32'], return: 'i64' },
    close: { arguments: ['i32'], return: 'i32' },
  })
  const { socket, sendto, close } = libc.functions
  const descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (descriptor < 0) throw new AgentError('no datagram socket can be made to tell the service manager anything')
  return {
    send(...assignments) {
      const message = Buffer.from(assignments.map((text) => text.replaceAll('\n', ' ')).join('\n'))
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL
      return sendto(descriptor, message, BigInt(message.length), flags, address, address.length) >= 0n
    },
    [Symbol.dispose]() {
      close(descriptor)
    },
  }
}

/** struct sockaddr_un. A path ends with a NUL; an abstract name begins with one and ends where the address does. */
function socketAddress(path: string): Buffer {
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const isAddress = /^[/@]./s.test(path) && Buffer.byteLength(name) <= maxPathBytes
  if (!isAddress) {
    throw new AgentError(`NOTIFY_SOCKET is no address that the agent knows: ${path}`, {
      hint: 'it has to be an absolute path, or @ and a name, of at most 107 bytes',
    })
  }
  const family = Buffer.alloc(2)
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX
  return Buffer.concat([family, Buffer.from(name)])
}
