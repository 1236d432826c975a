import { expect, test } from 'vitest'

import type { Outcome } from '../../../agent/doctor/doctor-check.ts'
import { mqttCheck } from '../../../agent/doctor/mqtt-check.ts'
import type { TopicTrial } from '../../../agent/doctor/topic-check.ts'
import {
  agentOutcomes,
  requestOutcome,
  serviceOutcome,
  type RunningAgent,
} from '../../../agent/doctor/service-check.ts'
import { readUnit, type UnitFacts } from '../../../agent/doctor/service-unit.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const never = new AbortController().signal
const settings = {
  unitFileState: 'enabled',
  group: '',
  protectHome: '',
  protectSystem: '',
  privateTmp: '',
  readWritePaths: '',
  stateDirectory: '',
  runtimeDirectory: '',
}
const unit: UnitFacts = {
  load: 'loaded',
  active: 'active',
  sub: 'running',
  result: 'success',
  restarts: 0,
  user: 'panorama-agent',
  groups: [],
  environment: new Map(),
  environmentFiles: [],
  settings,
}

test.for([
  [{}, 'pass', /is active \(running\), never restarted/],
  [{ restarts: 5 }, 'warn', /restarted 5 times/],
  [{ active: 'failed', sub: 'failed', result: 'watchdog' }, 'fail', /watchdog/],
  [{ active: 'activating', sub: 'auto-restart', result: 'exit-code' }, 'fail', /keeps ending/],
  [{ active: 'inactive', sub: 'dead' }, 'warn', /is inactive/],
  [{ settings: { ...settings, unitFileState: 'disabled' } }, 'fail', /does not start when the appliance does/],
  [{ load: 'masked', active: 'inactive' }, 'fail', /is masked/],
  [{ load: 'bad-setting', active: 'inactive' }, 'fail', /cannot be loaded: bad-setting/],
  [{ load: 'not-found' }, 'skip', /there is no panorama-agent\.service/],
] as const)('judges a service with %o', ([facts, level, text]) => {
  const outcome = serviceOutcome({ ...unit, ...facts })
  expect(outcome.level).toBe(level)
  expect(outcome.text).toMatch(text)
  expect(serviceOutcome(undefined).level).toBe('skip')
})

test('warns where nobody looks for requests to root', () => {
  expect(requestOutcome(unit).level).toBe('pass')
  expect(requestOutcome({ ...unit, active: 'inactive' })).toMatchObject({
    level: 'warn',
    hint: expect.stringContaining('enable --now') as unknown,
  })
  expect([requestOutcome(undefined), requestOutcome({ ...unit, load: 'not-found' })].map(({ level }) => level)).toEqual(
    ['skip', 'skip'],
  )
})

test('reads what systemd shows of a unit, variables with spaces and quotes included', async () => {
  const stdout = [
    'LoadState=loaded',
    'ActiveState=active',
    'SubState=running',
    'Result=success',
    'NRestarts=2',
    'User=panorama-agent',
    'SupplementaryGroups=video systemd-journal',
    'Environment=HTTPS_PROXY=http://p:3128 "B=two words" C=',
  ].join('\n')
  const asked: string[] = []
  const facts = await readUnit(
    'x.service',
    (file, args) => {
      asked.push([file, ...args].join(' '))
      return Promise.resolve({ exitCode: 0, errorCode: undefined, stdout, stderr: '' })
    },
    never,
  )
  expect(asked[0]).toMatch(/^systemctl show --property=\S+ -- x\.service$/)
  expect(facts).toMatchObject({ restarts: 2, user: 'panorama-agent', groups: ['video', 'systemd-journal'] })
  expect([...(facts?.environment ?? [])]).toEqual([
    ['HTTPS_PROXY', 'http://p:3128'],
    ['B', 'two words'],
    ['C', ''],
  ])
})

test('does not know what a machine without systemd has', async () => {
  const run = () => Promise.resolve({ exitCode: undefined, errorCode: 'ENOENT', stdout: '', stderr: '' })
  expect(await readUnit('x.service', run, never)).toBeUndefined()
})

test('tells what the running agent says of itself, a few parts of it at most', () => {
  const fault = { name: 'camera dock-1', state: 'failing', message: 'denied', hint: 'allow it' }
  const agent = { kind: 'answers', version: '1.0.0', connection: undefined } as const
  expect(agentOutcomes({ ...agent, faults: [] })).toMatchObject([{ level: 'pass' }])
  expect(agentOutcomes({ ...agent, faults: [fault] })).toEqual([
    { level: 'warn', text: 'is failing: denied', hint: 'allow it', about: 'camera dock-1' },
  ])
  const many = agentOutcomes({ ...agent, faults: Array.from({ length: 30 }, () => fault) })
  expect(many).toHaveLength(9)
  expect(many.at(-1)?.text).toBe('22 more parts of it are not well')
  expect(agentOutcomes({ kind: 'none' })).toMatchObject([{ level: 'skip' }])
})

test('fails an agent that hangs, or has a part that it is of no use without, which comes first', () => {
  expect(agentOutcomes({ kind: 'unknown', text: 'it hangs', hint: 'restart it', isHung: true })).toEqual([
    { level: 'fail', text: 'it hangs', hint: 'restart it' },
  ])
  const fault = { name: 'logs', state: 'failing', message: 'denied' }
  const grave = { name: 'provisioning', state: 'failing', message: 'refused', isGrave: true }
  const faults = [...Array.from({ length: 8 }, () => fault), grave]
  expect(agentOutcomes({ kind: 'answers', version: '1.0.0', connection: undefined, faults })[0]).toEqual({
    level: 'fail',
    text: 'is failing: refused',
    hint: undefined,
    about: 'provisioning',
  })
})

async function mqtt(
  agent: RunningAgent,
  tryTopics = (): Promise<readonly TopicTrial[]> => Promise.resolve([]),
): Promise<readonly Outcome[]> {
  return await mqttCheck({
    agent: () => Promise.resolve(agent),
    tryTopics,
    endpoint: 'a1-ats:8883',
    thingName: 'dock-1',
    rotation: undefined,
  }).run(never)
}

test('connects to AWS IoT itself only where no agent can be disturbed by it', async () => {
  const refuse = (): Promise<never> => Promise.reject(new AgentError('connected all the same'))
  const answers = { kind: 'answers', version: '1.0.0', faults: [] } as const
  const [connected] = await mqtt({ kind: 'none' })
  expect(connected).toMatchObject({ level: 'pass', text: 'a1-ats:8883 takes dock-1 as a client' })
  await expect(mqtt({ kind: 'none' }, refuse)).rejects.toThrow('connected all the same')
  expect(await mqtt({ kind: 'unknown', text: 'may not be asked', hint: 'be root' }, refuse)).toMatchObject([
    { level: 'skip', hint: 'be root' },
  ])
  expect(await mqtt({ ...answers, connection: { state: 'connected' } }, refuse)).toMatchObject([{ level: 'pass' }])
  const down = { state: 'down', message: 'not authorized', hint: 'attach the policy' }
  expect(await mqtt({ ...answers, connection: down }, refuse)).toEqual([
    { level: 'fail', text: 'the running agent has no connection: not authorized', hint: 'attach the policy' },
  ])
  const jobs = { name: 'jobs', state: 'failing', message: 'GetPendingJobExecutions got no answer' }
  expect(await mqtt({ ...answers, faults: [jobs], connection: { state: 'connected' } }, refuse)).toMatchObject([
    { level: 'pass' },
    { level: 'fail', about: 'jobs', text: expect.stringContaining(jobs.message) as string },
  ])
  expect(await mqtt({ ...answers, connection: { state: 'connecting' } }, refuse)).toMatchObject([{ level: 'skip' }])
  expect(await mqtt({ ...answers, connection: undefined }, refuse)).toMatchObject([{ level: 'skip' }])
})
