import { expect, test } from 'vitest'

import { sendDiagnostics } from '../../../../agent/composition/control/diagnostics.ts'
import { doctorReport } from '../../../../agent/doctor/doctor-report.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { createLog } from '../../../../agent/lib/log.ts'
import { LogRing } from '../../../../agent/logs/log-ring.ts'
import { FakeLogDestination } from '../../../support/fake-log-destination.ts'
import { statusDocument } from '../../../support/status-document.ts'

const target = { group: '/aws/panorama/devices/dock-1', stream: 'diagnostics/job-1' }
const nowMs = Date.parse('2027-01-01T01:00:00.250Z') + 0.7

const head = { at: '2027-01-01T01:00:00.000Z', agent: '1.2.3', user: 'panorama-agent' }
const finding = { id: 'clock', level: 'fail', name: 'clock', text: 'it is slow', hint: 'set it' } as const
const doctor = doctorReport(head, [finding])

/** What is sent of an agent that logged `lines` to the destination. */
class Bench {
  readonly destination = new FakeLogDestination(() => nowMs)
  readonly ring = new LogRing()
  status = statusDocument()

  log(...lines: readonly string[]): void {
    const log = createLog({ level: 'info', sinks: [this.ring.sink] })
    for (const line of lines) log.info(line)
  }

  async send(logLines = 500, signal = new AbortController().signal): Promise<number> {
    const { destination, ring, status } = this
    return await sendDiagnostics({ target, destination, status, doctor, recent: ring, logLines, nowMs }, signal)
  }

  get messages(): readonly string[] {
    return this.destination.messages(target)
  }
}

test('sends the status part by part, what the doctor found, then the log, to a group and a stream that it makes', async () => {
  const bench = new Bench()
  bench.status = statusDocument({ cameras: ['dock-1', 'dock-2'].map((name) => ({ name, state: 'ok' })) })
  bench.log('one', 'two')
  const sent = await bench.send()
  expect(sent).toBe(bench.messages.length)
  expect(bench.messages).toContain(JSON.stringify({ part: 'agent', value: bench.status.agent }))
  expect(bench.messages).toContain('{"part":"cameras[1]","value":{"name":"dock-2","state":"ok"}}')
  expect(bench.messages).toContain(JSON.stringify({ part: 'doctor[0]', value: finding }))
  expect(bench.messages.slice(-2).join('\n')).toMatch(/one\n.*two$/)
  expect(new Set(bench.destination.events(target).map(({ timestampMs }) => timestampMs))).toEqual(
    new Set([Math.floor(nowMs)]),
  )
})

test('sends the last lines of the log, as many as it is asked for, and leaves them in the ring', async () => {
  const bench = new Bench()
  bench.log('one', 'two', 'three')
  await bench.send(2)
  const lines = bench.messages.filter((text) => !text.startsWith('{'))
  expect(lines.map((line) => line.split(' ').at(-1))).toEqual(['two', 'three'])
  expect(bench.ring.lines).toHaveLength(3)
})

test('sends no line of the log where none is asked for', async () => {
  const bench = new Bench()
  bench.log('one')
  await bench.send(0)
  expect(bench.messages.every((text) => text.startsWith('{'))).toBe(true)
})

test('takes out what gives a secret away, from status and log', async () => {
  const bench = new Bench()
  const lastError = { name: 'AgentError', message: 'rtsp://viewer:s3cret@dock-1/stream is down' }
  bench.status = statusDocument({ cameras: [{ name: 'dock-1', state: 'failing', lastError }] })
  bench.log('asked rtsp://viewer:s3cret@dock-1/stream')
  await bench.send()
  expect(bench.messages.join('\n')).not.toContain('s3cret')
  expect(bench.messages.filter((text) => text.includes('rtsp://[redacted]@dock-1/stream'))).toHaveLength(2)
})

test('keeps within the limits of PutLogEvents, however much there is', async () => {
  const bench = new Bench()
  bench.status = statusDocument({
    cameras: Array.from({ length: 1_000 }, (_, index) => ({
      name: `dock-${index}`,
      state: 'ok',
      detail: 'é'.repeat(500),
    })),
  })
  bench.log(...Array.from({ length: 300 }, () => 'é'.repeat(3_000)))
  expect(await bench.send(2_000)).toBe(bench.messages.length)
  expect(bench.messages.length).toBeGreaterThan(1_000)
  expect(bench.destination.triedBytes.length).toBeGreaterThan(2)
})

test('adds to a stream that is there already', async () => {
  const bench = new Bench()
  await bench.send()
  const once = bench.messages.length
  await bench.send()
  expect(bench.messages).toHaveLength(2 * once)
})

test('rejects where not all was accepted', async () => {
  const bench = new Bench()
  bench.log('poison')
  bench.destination.refuses = (message) => message.includes('poison')
  await expect(bench.send()).rejects.toThrow('refused')
  bench.destination.refuses = () => false
  bench.destination.failures.set(target.stream, new AgentError('denied'))
  await expect(bench.send()).rejects.toThrow('denied')
})

test('rejects where the stream goes away meanwhile', async () => {
  const bench = new Bench()
  const create = bench.destination.createStream.bind(bench.destination)
  bench.destination.createStream = async (...args) => {
    const made = await create(...args)
    if (made === 'created') bench.destination.deleteGroup(target.group)
    return made
  }
  await expect(bench.send()).rejects.toMatchObject({
    name: 'AgentError',
    message: expect.stringMatching(
      /^the log stream diagnostics\/job-1 of \S+ was deleted while it was written to$/,
    ) as unknown,
    hint: expect.stringContaining('make the job again') as unknown,
  })
})

test('ends with its signal', async () => {
  const bench = new Bench()
  await bench.send()
  bench.destination.hanging.add(target.stream)
  const aborted = new AbortController()
  const sending = bench.send(500, aborted.signal)
  aborted.abort(new AgentError('withdrawn'))
  await expect(sending).rejects.toThrow()
})
