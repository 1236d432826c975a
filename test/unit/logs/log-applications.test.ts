import { appendFile, copyFile, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { group, LogAppliance, useFakeClock } from './log-appliance.ts'

const format = { timestamps: 'auto', timeZone: 'local' } as const

beforeEach(useFakeClock)
afterEach(() => vi.useRealTimers())

const perApplication = `${group}/applications/{application}`

test('files of applications go to a group for each application and a stream for each file', async () => {
  await using appliance = await withApplications()
  await write(appliance, 'one/console_output.log', 'of one\n')
  await write(appliance, 'two/console_output.log', 'of two\n')
  await write(appliance, 'two/node.txt', 'of a node\n')
  await write(appliance, 'two/console_output.log.1.gz', 'packed\n')
  await write(appliance, 'not-in-a-folder.log', 'of nobody\n')
  appliance.start()

  await flush(appliance)

  expect(sent(appliance, 'one', 'console_output')).toEqual(['of one'])
  expect(sent(appliance, 'two', 'console_output')).toEqual(['of two'])
  expect(sent(appliance, 'two', 'node')).toEqual(['of a node'])
  const { sources } = appliance.logs.status()
  expect(sources.map(({ stream }) => stream).sort()).toEqual(['console_output', 'console_output', 'node'])
})

test('an application that comes later is found, and a file goes by the first source that takes it', async () => {
  await using appliance = await withApplications(({ path }) => [
    { kind: 'file', path: path('one/*.txt'), group, stream: 'first', ...format },
  ])
  appliance.start()
  await flush(appliance)
  await write(appliance, 'one/a.txt', 'a\n')
  await write(appliance, 'one/b.log', 'b\n')

  await flush(appliance)

  expect(appliance.sent('first')).toEqual(['a'])
  expect(sent(appliance, 'one', 'b')).toEqual(['b'])
  expect(sent(appliance, 'one', 'a')).toEqual([])
})

test('two files that lead to one stream share it', async () => {
  await using appliance = await withApplications()
  await write(appliance, 'one/a.log', 'first\n')
  await write(appliance, 'one/a.txt', 'second\n')
  appliance.start()

  await flush(appliance)

  expect([...sent(appliance, 'one', 'a')].sort()).toEqual(['first', 'second'])
})

test('an application whose stream is refused holds up no other with a stream of that name', async () => {
  await using appliance = await withApplications()
  const refused = `${group}/applications/one`
  appliance.destination.beforePut = (target) => {
    if (target.group === refused) throw new AgentError('AccessDeniedException', { hint: 'allow it' })
  }
  await write(appliance, 'one/a.log', '1\n')
  await write(appliance, 'two/a.log', '1\n')
  appliance.start()
  await flush(appliance)
  await appendFile(appliance.path('two/a.log'), '2\n')
  await flush(appliance)

  expect(sent(appliance, 'two', 'a')).toEqual(['1', '2'])
  const held = appliance.lines.filter(({ text }) => text.includes('held up of='))
  expect(held.map(({ text }) => text.includes(`of="stream a of ${refused}"`))).toEqual([true])
})

test('files of applications are followed on after a restart', async () => {
  await using appliance = await withApplications()
  await write(appliance, 'one/a.log', '1\n')
  appliance.start()
  await flush(appliance)
  await appliance.stop()
  await appendFile(appliance.path('one/a.log'), '2\n')
  appliance.start()
  await flush(appliance)

  expect(sent(appliance, 'one', 'a')).toEqual(['1', '2'])
})

const rotations = {
  'renaming and creating': async (path: string): Promise<void> => {
    await rename(path, `${path}.1`)
    await writeFile(path, '3\n')
  },
  'copying and truncating': async (path: string): Promise<void> => {
    await copyFile(path, `${path}.1`)
    await writeFile(path, '3\n')
  },
}

test.each(Object.entries(rotations))(
  'lines are sent once through rotation by %s within the folder',
  async (_, rotate) => {
    await using appliance = await withApplications()
    await write(appliance, 'one/a.log', '1\n')
    appliance.start()
    await flush(appliance)
    await appendFile(appliance.path('one/a.log'), '2\n')
    await rotate(appliance.path('one/a.log'))
    await flush(appliance)
    await flush(appliance)
    await flush(appliance)
    await appliance.stop()
    appliance.start()
    await flush(appliance)

    expect(sent(appliance, 'one', 'a')).toEqual(['1', '2', '3'])
  },
)

async function withApplications(
  before: (appliance: { path: (name: string) => string }) => NonNullable<LogAppliance['otherSources']> = () => [],
): Promise<LogAppliance> {
  const appliance = await LogAppliance.open()
  const path = (name: string): string => join(appliance.path('.'), name)
  const folder = appliance.path('.')
  appliance.otherSources = [
    ...before({ path }),
    { kind: 'applications', folder, group: perApplication, stream: '{file}', ...format },
  ]
  return appliance
}

/** Lets the agent find what is there, read it and send it. */
async function flush(appliance: LogAppliance): Promise<void> {
  await appliance.pass(11_000)
  await appliance.pass(20_000)
}

async function write(appliance: LogAppliance, name: string, text: string): Promise<void> {
  await mkdir(dirname(appliance.path(name)), { recursive: true })
  await writeFile(appliance.path(name), text)
}

function sent(appliance: LogAppliance, application: string, stream: string): readonly string[] {
  return appliance.destination.messages({ group: `${group}/applications/${application}`, stream })
}
