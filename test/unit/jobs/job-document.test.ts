import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { parseJobDocument } from '../../../agent/jobs/job-document.ts'
import { deadlineMs } from '../../../agent/jobs/operations.ts'

const runs = Number(process.env['PANORAMA_TEST_DOCUMENTS'] ?? 5_000)

function faultsOf(document: unknown): readonly string[] {
  const parsed = parseJobDocument(document)
  if (parsed.kind === 'operation') throw new Error(`it was taken: ${JSON.stringify(parsed.operation)}`)
  return parsed.faults.map(({ path, message }) => `${path}: ${message}`)
}

function operationOf(document: unknown): unknown {
  const parsed = parseJobDocument(document)
  return parsed.kind === 'operation' ? parsed.operation : parsed.faults
}

describe('documents of ours', () => {
  test.each([
    [
      { operation: 'configure', patch: { logs: { flushSeconds: 5 } } },
      { confirmSeconds: 300, replace: false, dryRun: false },
    ],
    [{ operation: 'sync-artifacts' }, { timeoutSeconds: 3600 }],
    [{ operation: 'rollback-artifact', artifact: 'detector', to: 'ab12' }, { to: 'ab12' }],
    [{ operation: 'refresh-cameras', cameras: ['dock-3'] }, { cameras: ['dock-3'] }],
    [{ operation: 'collect-diagnostics' }, { logLines: 500 }],
    [{ operation: 'rotate-certificate' }, { confirmSeconds: 300 }],
    [{ operation: 'restart-agent' }, {}],
    [{ operation: 'reboot' }, {}],
    [{ operation: 'restart-application', unit: 'detector@1.service' }, { unit: 'detector@1.service' }],
  ])('takes %j', (document, filledIn) => {
    expect(operationOf({ version: '1.0', ...document })).toMatchObject({ ...document, ...filledIn })
  })

  test.each([
    [{ operation: 'reboot' }, 'version: '],
    [{ version: '2.0', operation: 'reboot' }, 'version: must be "1.0"'],
    [{ version: '1.0', operation: 'format-disk' }, 'operation: must be one of configure, sync-artifacts'],
    [{ version: '1.0' }, 'operation: must be one of'],
    [{ version: '1.0', operation: 'reboot', now: true }, 'now: is not a known field'],
    [{ version: '1.0', operation: 'configure' }, 'patch: is missing'],
    [{ version: '1.0', operation: 'configure', patch: [] }, 'patch: must be an object'],
    [{ version: '1.0', operation: 'configure', patch: [] }, 'patch: '],
    [{ version: '1.0', operation: 'configure', patch: {}, confirmSeconds: 1 }, 'confirmSeconds: '],
    [{ version: '1.0', operation: 'refresh-cameras', cameras: ['a', 7] }, 'cameras[1]: '],
    [
      { version: '1.0', operation: 'rollback-artifact', artifact: 'a', to: '../x' },
      'to: must be what the id of a release begins with',
    ],
    [{ version: '1.0', operation: 'restart-application', unit: '-x; reboot' }, 'unit: must be the name of a unit'],
    ['reboot', '(whole document): '],
    [null, '(whole document): '],
    [undefined, '(whole document): '],
    [[], '(whole document): '],
  ])('rejects %j, and says where it is at fault', (document, fault) => {
    expect(faultsOf(document).join('\n')).toContain(fault)
  })

  test('names every fault at once', () => {
    const document = { version: '1.0', operation: 'sync-artifacts', artifacts: [], timeoutSeconds: 1, extra: 1 }
    expect(faultsOf(document).map((fault) => fault.split(':')[0])).toEqual(
      expect.arrayContaining(['artifacts', 'timeoutSeconds', 'extra']),
    )
  })
})

describe('documents that mean harm', () => {
  test.each(['__proto__', 'constructor', 'prototype'])('refuses the key %s at any depth', (key) => {
    const patch: unknown = JSON.parse(`{"logs":[{"${key}":{"polluted":true}}]}`)
    expect(faultsOf({ version: '1.0', operation: 'configure', patch })).toEqual([
      `patch.logs[0].${key}: is a key that is never taken`,
    ])
  })

  test('refuses one that is nested without end', () => {
    const patch: unknown = JSON.parse(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`)
    expect(faultsOf({ version: '1.0', operation: 'configure', patch })[0]).toContain('is nested more than 24 deep')
  })

  test('refuses one that is longer than AWS IoT takes inline', () => {
    const patch = { device: { name: 'x'.repeat(32_768) } }
    expect(faultsOf({ version: '1.0', operation: 'configure', patch })[0]).toMatch(/has \d+ characters; at most 32768/)
  })
})

describe("documents of AWS's managed templates", () => {
  const step = (name: string, args: readonly string[] = []) => ({
    version: '1.0',
    steps: [{ action: { name, type: 'runHandler', input: { handler: 'x.sh', args, path: 'default' }, runAsUser: '' } }],
  })

  test('takes AWS-Reboot', () => {
    expect(operationOf(step('Reboot'))).toEqual({ version: '1.0', operation: 'reboot' })
  })

  test('takes AWS-Restart-Application for one unit', () => {
    const operation = { version: '1.0', operation: 'restart-application', unit: 'detector.service' }
    expect(operationOf(step('Restart-Application', ['detector.service']))).toEqual(operation)
  })

  test.each([
    [step('Restart-Application', ['a.service,b.service']), 'must name one unit'],
    [step('Restart-Application', []), 'must name one unit'],
    [step('Download-File', ['https://x', '/tmp']), 'use "sync-artifacts"'],
    [step('Install-Application', ['x']), 'use "sync-artifacts"'],
    [step('Remove-Application', ['x']), '"configure"'],
    [step('Start-Application', ['x']), '"restart-application"'],
    [step('Stop-Application', ['x']), 'there is no operation'],
    [step('Format-Disk'), 'use an operation of the agent'],
    [{ version: '1.0', steps: [...step('Reboot').steps, ...step('Reboot').steps] }, 'more than one step'],
    [{ ...step('Reboot'), finalStep: step('Install-Application').steps[0] }, 'finalStep'],
    [
      { ...step('Reboot'), conditions: [{ key: 'operatingSystem', value: ['ubuntu'], type: 'stringEqual' }] },
      'conditions',
    ],
    [{ ...step('Reboot'), version: '2.0' }, 'must be "1.0"'],
    [
      { version: '1.0', steps: [{ action: { name: 'Reboot', type: 'runCommand', input: { command: 'halt' } } }] },
      'type',
    ],
    [{ version: '1.0', steps: [] }, 'is not as'],
    [{ version: '1.0', steps: 'Reboot' }, 'is not as'],
  ])('rejects %j, and names what to use instead', (document, text) => {
    expect(faultsOf(document).join()).toContain(text)
  })
})

test('gives documents the same digest whatever the order of their keys', () => {
  const one = parseJobDocument({ version: '1.0', operation: 'configure', patch: { a: 1, b: { c: 2, d: 3 } } })
  const other = parseJobDocument({ patch: { b: { d: 3, c: 2 }, a: 1 }, operation: 'configure', version: '1.0' })
  const another = parseJobDocument({ patch: { b: { d: 3, c: 2 }, a: 2 }, operation: 'configure', version: '1.0' })
  expect(other.digest).toBe(one.digest)
  expect(another.digest).not.toBe(one.digest)
})

const operationNames = [
  'configure',
  'sync-artifacts',
  'rollback-artifact',
  'refresh-cameras',
  'reboot',
  'restart-application',
  'x',
]
const likeOurs = fc.record(
  {
    version: fc.oneof(fc.constant('1.0'), fc.anything()),
    operation: fc.oneof(fc.constantFrom(...operationNames), fc.anything()),
    patch: fc.oneof(fc.object(), fc.anything()),
    artifacts: fc.oneof(fc.array(fc.string()), fc.anything()),
    artifact: fc.oneof(fc.string(), fc.anything()),
    unit: fc.oneof(fc.string(), fc.anything()),
    confirmSeconds: fc.oneof(fc.integer(), fc.anything()),
    timeoutSeconds: fc.oneof(fc.integer(), fc.anything()),
    steps: fc.oneof(fc.array(fc.record({ action: fc.object() })), fc.anything()),
  },
  { requiredKeys: [] },
)

test(`takes nothing that it could not carry out, of ${runs} documents made up`, { timeout: 600_000 }, () => {
  const asNumber = (_key: string, inner: unknown): unknown => (typeof inner === 'bigint' ? Number(inner) : inner)
  const json = fc
    .oneof(likeOurs, fc.jsonValue(), fc.object())
    .map((value): unknown => JSON.parse(JSON.stringify(value, asNumber)))
  fc.assert(
    fc.property(json, (document) => {
      const parsed = parseJobDocument(document)
      if (parsed.kind === 'rejected') {
        expect(parsed.faults.length).toBeGreaterThan(0)
        return
      }
      const { operation } = parsed
      expect(operationNames).toContain(
        operation.operation.replace('collect-diagnostics', 'x').replace('restart-agent', 'x'),
      )
      expect(operation.version).toBe('1.0')
      expect(deadlineMs(operation)).toBeGreaterThan(0)
      expect(deadlineMs(operation)).toBeLessThanOrEqual(86_400_000)
      if (operation.operation === 'restart-application')
        expect(operation.unit).toMatch(/^[A-Za-z0-9][A-Za-z0-9@._:-]*$/)
    }),
    { numRuns: runs },
  )
})
