import { createSocket } from 'node:dgram'
import { once } from 'node:events'

export interface NameServer extends AsyncDisposable {
  /** The types that were asked for, such as `A` and `AAAA`. */
  readonly asked: ReadonlySet<string>
}

interface NameServerOptions {
  readonly address: string
  readonly port: number
  /** All names in here have both addresses. */
  readonly domain: string
  readonly ipv4: string
  readonly ipv6: string
}

const types: Readonly<Record<number, string>> = { 1: 'A', 28: 'AAAA' }
const flags = { answer: 0x8580, noSuchName: 0x8583 } as const
const headerBytes = 12
const ttlSeconds = 60

/** Answers questions over UDP for the names of one domain, and that there are no others (RFC 1035, section 4). */
export async function startNameServer(options: NameServerOptions): Promise<NameServer> {
  const asked = new Set<string>()
  const socket = createSocket(options.address.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (query, from) => {
    const { name, type, end } = questionOf(query)
    asked.add(types[type] ?? String(type))
    const isOurs = name.endsWith(`.${options.domain}`)
    const address = isOurs ? addressOf(types[type], options) : undefined
    const header = Buffer.alloc(headerBytes)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(isOurs ? flags.answer : flags.noSuchName, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(address === undefined ? 0 : 1, 6)
    const record = address === undefined ? Buffer.alloc(0) : recordOf(type, address)
    socket.send(Buffer.concat([header, query.subarray(headerBytes, end), record]), from.port, from.address)
  })
  socket.bind(options.port, options.address)
  await once(socket, 'listening')
  return {
    asked,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = []
  let at = headerBytes
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function addressOf(type: string | undefined, { ipv4, ipv6 }: NameServerOptions): Buffer | undefined {
  if (type === 'A') return Buffer.from(ipv4.split('.').map(Number))
  return type === 'AAAA' ? ipv6Bytes(ipv6) : undefined
}

/** With at most one `::`. */
function ipv6Bytes(address: string): Buffer {
  const [front = [], back = []] = address.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0')
  const groups = [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16))
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}

function recordOf(type: number, address: Buffer): Buffer {
  const record = Buffer.alloc(12)
  record.writeUInt16BE(0xc000 | headerBytes, 0) // the name of the question
  record.writeUInt16BE(type, 2)
  record.writeUInt16BE(1, 4)
  record.writeUInt32BE(ttlSeconds, 6)
  record.writeUInt16BE(address.length, 10)
  return Buffer.concat([record, address])
}
