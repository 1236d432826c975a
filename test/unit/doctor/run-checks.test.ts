import { expect, test } from 'vitest'

import { fail, pass, skip, UnseenError, warn, type Check, type Outcome } from '../../../agent/doctor/doctor-check.ts'
import { runChecks } from '../../../agent/doctor/run-checks.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const never = new AbortController().signal
const options = { signal: never, withinMs: 10_000 }

function check(id: string, outcome: Outcome | (() => Promise<readonly Outcome[]>), more: Partial<Check> = {}): Check {
  const run = typeof outcome === 'function' ? outcome : () => Promise.resolve([outcome])
  return { id, name: `the ${id}`, withinMs: 10_000, run, ...more }
}

function hanging(): Promise<never> {
  return new Promise(() => undefined)
}

test('answers the findings in the order of the checks, whichever ends first', async () => {
  const first = Promise.withResolvers<readonly Outcome[]>()
  const checks = [
    check('one', () => first.promise),
    check('two', () => {
      first.resolve([pass('late')])
      return Promise.resolve([{ ...warn('early', 'do this'), about: 'x' }])
    }),
  ]
  expect(await runChecks(checks, options)).toEqual([
    { id: 'one', level: 'pass', name: 'the one', text: 'late' },
    { id: 'two.x', level: 'warn', name: 'the two x', text: 'early', hint: 'do this' },
  ])
})

test('does not run what needs a check that failed, nor what needs that in turn', async () => {
  const ran: string[] = []
  const noting = (id: string, needs: readonly string[]): Check =>
    check(id, () => Promise.resolve([pass(String(ran.push(id)))]), { needs })
  const checks = [check('dns', fail('no name')), noting('tls', ['dns']), noting('mqtt', ['tls']), noting('other', [])]
  const findings = await runChecks(checks, options)
  expect(ran).toEqual(['other'])
  expect(findings.map(({ level, text }) => `${level} ${text}`)).toEqual([
    'fail no name',
    'skip not looked at, because "the dns" failed',
    'skip not looked at, because "the tls" was not looked at',
    'pass 1',
  ])
})

test('runs what needs a check that only warns, and what merely comes after one that failed', async () => {
  const checks = [
    check('warned', warn('odd')),
    check('failed', fail('bad')),
    check('one', pass('ran'), { needs: ['warned'] }),
    check('two', pass('ran'), { after: ['failed'] }),
  ]
  expect((await runChecks(checks, options)).slice(2).map(({ level }) => level)).toEqual(['pass', 'pass'])
})

test('makes a failure, with its hint, of what a check throws', async () => {
  const throwing = check('one', () => Promise.reject(new AgentError('it broke', { hint: 'mend it' })))
  expect(await runChecks([throwing], options)).toMatchObject([{ level: 'fail', text: 'it broke', hint: 'mend it' }])
})

test('skips what the user may not look at', async () => {
  const unseen = check('one', () => Promise.reject(new UnseenError('/etc/key')))
  expect(await runChecks([unseen], options)).toMatchObject([
    {
      level: 'skip',
      text: '/etc/key cannot be looked at as this user',
      hint: expect.stringContaining('root') as unknown,
    },
  ])
})

test('fails a check that does not end by its deadline, and those that have not ended when all the time is up', async () => {
  const slow = check('slow', hanging, { withinMs: 5 })
  expect(await runChecks([slow, check('quick', pass('ran'))], options)).toMatchObject([
    { level: 'fail', text: 'this did not finish within 5 ms' },
    { level: 'pass' },
  ])
  expect(await runChecks([check('slow', hanging)], { ...options, withinMs: 5 })).toMatchObject([
    { level: 'fail', text: 'the doctor did not finish within 5 ms' },
  ])
})

test('rejects with the reason of its signal at once', async () => {
  const stop = new AbortController()
  const running = runChecks([check('slow', hanging)], { ...options, signal: stop.signal })
  stop.abort(new AgentError('interrupted'))
  await expect(running).rejects.toThrow('interrupted')
})

test('lets through neither control characters nor secrets by their shape, and bounds what a server says', async () => {
  const text = `\u001b[31mrtsp://u:s3cret@host/x\n${'y'.repeat(2_000)}`
  const [finding] = await runChecks([check('one', skip(text, '-----BEGIN PRIVATE KEY-----abc'))], options)
  expect(finding?.text).toMatch(/^\[31mrtsp:\/\/\[redacted\]@host\/x y+\.\.\.$/)
  expect(finding?.text.length).toBeLessThan(700)
  expect(finding?.hint).toBe('[redacted private key]')
})

test('tells of each check as it ends', async () => {
  const ended: string[] = []
  await runChecks([check('one', pass('')), check('two', fail(''))], { ...options, onEnded: ({ id }) => ended.push(id) })
  expect(ended.toSorted()).toEqual(['one', 'two'])
})

test('refuses a list in which a check waits for one that comes later', async () => {
  await expect(runChecks([check('one', pass(''), { needs: ['two'] })], options)).rejects.toThrow('waits for two')
})
