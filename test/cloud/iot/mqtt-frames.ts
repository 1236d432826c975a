import { parser, type Packet, type Parser } from 'mqtt-packet'

/** One control packet: what it says, and the bytes that said it. */
export interface Frame {
  readonly packet: Packet
  readonly bytes: Buffer
}

/** 5 is MQTT 5, 4 is MQTT 3.1.1, 3 is MQTT 3.1. */
export type MqttVersion = 3 | 4 | 5

/** What arrived breaks the protocol; `reasonCode` is MQTT 5's for DISCONNECT. */
export class MqttViolation extends Error {
  override readonly name = 'MqttViolation'
  readonly reasonCode: number

  constructor(reasonCode: number, message: string) {
    super(message)
    this.reasonCode = reasonCode
  }
}

/** Cuts a byte stream into control packets (MQTT 5, section 2.1). Holds no more than one packet of `maxBytes`. */
export class MqttFrames {
  readonly #maxBytes: number
  #rest: Buffer = Buffer.alloc(0)
  #parser: Parser = parser()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** How packets after CONNECT are read. */
  useVersion(protocolVersion: MqttVersion): void {
    this.#parser = parser({ protocolVersion })
  }

  /**
   * The packets that `chunk` completes, one after the other: the version may change between two. Throws an
   * MqttViolation when a packet cannot be read or is too large.
   */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const length = packetLength(this.#rest, this.#maxBytes)
      if (length === undefined || this.#rest.length < length) return
      const bytes = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      yield { packet: this.#parse(bytes), bytes }
    }
  }

  #parse(bytes: Buffer): Packet {
    const packets: Packet[] = []
    const errors: Error[] = []
    const onPacket = (packet: Packet): void => void packets.push(packet)
    const onError = (error: Error): void => void errors.push(error)
    this.#parser.on('packet', onPacket).on('error', onError)
    try {
      this.#parser.parse(bytes)
    } catch (error) {
      // The parser trusts lengths inside of a packet and can read past its end.
      throw new MqttViolation(malformedPacket, String(error))
    } finally {
      this.#parser.removeAllListeners()
    }
    const [packet] = packets
    if (packet === undefined || errors.length > 0) {
      throw new MqttViolation(malformedPacket, errors[0]?.message ?? 'the packet is malformed')
    }
    return packet
  }
}

const malformedPacket = 0x81
const packetTooLarge = 0x95
const maxLengthBytes = 4

/** The whole length of the packet that `bytes` begin with; undefined while that cannot be seen. */
function packetLength(bytes: Buffer, maxBytes: number): number | undefined {
  let remaining = 0
  for (let index = 1; index <= maxLengthBytes; index += 1) {
    const byte = bytes[index]
    if (byte === undefined) return undefined
    remaining += (byte & 0x7f) * 128 ** (index - 1)
    if (byte < 0x80) {
      const length = 1 + index + remaining
      if (length > maxBytes) throw new MqttViolation(packetTooLarge, `a packet of ${length} bytes is too large`)
      return length
    }
  }
  throw new MqttViolation(malformedPacket, 'the length of the packet is malformed')
}
