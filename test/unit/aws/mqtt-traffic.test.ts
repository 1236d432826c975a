import { EventEmitter } from 'node:events'

import type { mqtt5 } from 'aws-iot-device-sdk-v2'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { MqttTraffic, type MqttTrafficOptions } from '../../../agent/aws/mqtt-traffic.ts'
import { ByteCounter } from '../../../agent/lib/byte-counter.ts'

describe('the bytes of an MQTT connection', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const open = (proxy?: MqttTrafficOptions['proxy']) => {
    const counter = new ByteCounter()
    const traffic = new MqttTraffic({ counter, keepAliveSeconds: 60, proxy })
    const client = new EventEmitter()
    traffic.follow(client as unknown as mqtt5.Mqtt5Client) // nothing is asked of it but its events
    const since = (work: () => void): number => {
      const before = counter.bytes
      work()
      return counter.bytes - before
    }
    const failed = (errorName: string): number =>
      since(() => client.emit('connectionFailure', { error: { error_name: errorName } }))
    return { client, traffic, since, failed }
  }

  it('are those of its pings, too, at the next request and at its end', () => {
    const { client, traffic, since } = open()
    client.emit('connectionSuccess', {})
    traffic.asked('Ask', {})
    const ask = (): void => {
      traffic.asked('Ask', {})
    }
    const asked = since(ask)
    vi.advanceTimersByTime(600_000)
    expect(since(ask) - asked).toBe(10 * 64)
    vi.advanceTimersByTime(330_000)
    expect(since(() => client.emit('disconnection', {}))).toBe(5 * 64)
    vi.advanceTimersByTime(600_000)
    expect(since(ask)).toBe(asked)
  })

  it.each(['AWS_IO_DNS_INVALID_NAME', 'AWS_IO_SOCKET_CONNECTION_REFUSED', 'AWS_IO_SOCKET_TIMEOUT'])(
    'are none of an attempt that ends with %s',
    (errorName) => {
      expect(open().failed(errorName)).toBe(0)
    },
  )

  it.each(['AWS_ERROR_MQTT_UNEXPECTED_HANGUP', 'AWS_IO_SOCKET_CLOSED', 'AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE'])(
    'are those of a handshake where an attempt ends with %s',
    (errorName) => {
      const { failed, client, since } = open()
      expect(failed(errorName)).toBe(since(() => client.emit('connectionSuccess', {})))
    },
  )

  it('are those of a handshake where the end of the client cuts an attempt off, and of no other', () => {
    const { failed, client, traffic, since } = open()
    const ended = (): number =>
      since(() => {
        traffic.ended()
      })
    client.emit('attemptingConnect', {})
    expect(ended()).toBe(since(() => client.emit('connectionSuccess', {})))
    expect(ended()).toBe(0)
    client.emit('attemptingConnect', {})
    failed('AWS_IO_SOCKET_CLOSED')
    expect(ended()).toBe(0)
  })

  it('are more by a proxy, and most where that speaks TLS', () => {
    const connected = (proxy?: MqttTrafficOptions['proxy']): number => {
      const { client, since } = open(proxy)
      return since(() => client.emit('connectionSuccess', {}))
    }
    expect(connected({ isTls: false })).toBeGreaterThan(connected())
    expect(connected({ isTls: true })).toBeGreaterThan(connected({ isTls: false }) + 4_000)
    expect(open({ isTls: true }).failed('AWS_ERROR_HTTP_PROXY_CONNECT_FAILED')).toBeGreaterThan(4_000)
  })
})
