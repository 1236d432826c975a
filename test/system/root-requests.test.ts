import { chown, link, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Appliance, isWell, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'
import { answerTo, askRoot, placeRequest } from './support/root-request.ts'

const requests = `${paths.runtime}/requests`
const handler = 'panorama-agent-request.service'
const pathUnit = 'panorama-agent-request.path'

/** What this image lets the agent ask for. */
async function allow(image: string): Promise<void> {
  const folder = join(image, 'etc/panorama-agent')
  const files = {
    'allowed/restart-unit': 'app.service\n',
    'allowed/run-hook': 'mark\n',
    'allowed/set-clock': '',
    'hooks/mark': '#!/bin/sh\necho ran >/run/hook-ran\n',
  }
  for (const part of ['allowed', 'hooks']) await mkdir(join(folder, part), { recursive: true })
  for (const [path, text] of Object.entries(files))
    await writeFile(join(folder, path), text, { mode: path.startsWith('hooks/') ? 0o755 : 0o644 })
  const unit = '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n'
  await writeFile(join(image, 'etc/systemd/system/app.service'), unit)
}

describe('root', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance

  beforeAll(async () => {
    appliance = owned.use(await Appliance.working({ prepare: allow }))
    await appliance.container.run('systemctl', 'start', 'app.service')
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('restarts a unit that the image allows', async () => {
    const pid = await show('app.service', 'MainPID')
    expect(await askRoot(appliance, { verb: 'restart-unit', argument: 'app.service' })).toMatchObject({
      result: 'done',
    })
    expect(await show('app.service', 'MainPID')).not.toBe(pid)
    expect(await show('app.service', 'ActiveState')).toBe('active')
  })

  it('runs a hook that the image allows', async () => {
    expect(await askRoot(appliance, { verb: 'run-hook', argument: 'mark' })).toMatchObject({ result: 'done' })
    expect(await appliance.read('/run/hook-ran')).toBe('ran\n')
  })

  it('says so when the clock cannot be set, as in a container', async () => {
    const argument = new Date(Date.now() + 1_000).toISOString()
    const answer = await askRoot(appliance, { verb: 'set-clock', argument })
    expect(answer.result).not.toBe('done')
    expect(['clock-not-set', 'clock-is-synchronised']).toContain(answer.code)
  })

  it('reboots the appliance', async () => {
    const { leader } = appliance.container
    await placeRequest(appliance, JSON.stringify({ verb: 'reboot' }))
    await appliance.container.rebooted(leader)
    await appliance.until(isWell)
    await appliance.container.run('systemctl', 'start', 'app.service')
  })

  it.each([
    ['text that is no JSON', 'reboot', 'malformed'],
    ['an empty file', '', 'malformed'],
    ['a list', '["reboot"]', 'malformed'],
    ['a field too many', '{"verb":"reboot","now":"yes"}', 'malformed'],
    ['a field twice', '{"verb":"run-hook","verb":"reboot"}', 'malformed'],
    ['an unknown verb', '{"verb":"rm","argument":"x"}', 'unknown-verb'],
    ['a path for a hook', '{"verb":"run-hook","argument":"../../../bin/true"}', 'bad-argument'],
    ['no argument', '{"verb":"run-hook"}', 'argument-missing'],
    ['an argument too many', '{"verb":"reboot","argument":"now"}', 'argument-not-taken'],
    ['a hook that is not allowed', '{"verb":"run-hook","argument":"other"}', 'argument-not-allowed'],
    ['a unit that is not allowed', '{"verb":"restart-unit","argument":"dbus.service"}', 'argument-not-allowed'],
    ['an absurd time', '{"verb":"set-clock","argument":"1970-01-01T00:00:00Z"}', 'before-the-release'],
    ['257 bytes', `{"verb":"reboot"}${' '.repeat(240)}`, 'too-large'],
  ])('refuses %s', async (_, text, code) => {
    const { leader } = appliance.container
    const id = await placeRequest(appliance, text)
    expect(await answerTo(appliance, id)).toEqual({ result: 'refused', code })
    await isAtRest()
    expect(appliance.container.leader).toBe(leader)
  })

  it.each([
    [
      'a file of another user',
      'wrong-owner',
      async (file: string) => {
        await writeFile(file, '{"verb":"reboot"}')
        await chown(file, 1, 1)
      },
    ],
    [
      'a symlink',
      'not-a-regular-file',
      async (file: string) => {
        await symlink('/etc/shadow', file)
      },
    ],
    [
      'a hard link',
      'linked',
      async (file: string) => {
        const { uid, gid } = await stat(appliance.container.path(paths.runtime))
        const other = appliance.container.path(`${paths.runtime}/other-name`)
        await writeFile(other, '{"verb":"reboot"}')
        await chown(other, uid, gid)
        await link(other, file)
      },
    ],
    [
      'a folder',
      'not-a-regular-file',
      async (file: string) => {
        await mkdir(join(file, 'deeper'), { recursive: true })
      },
    ],
  ])('refuses %s', async (what, code, make) => {
    const id = `odd-${what.replaceAll(' ', '-')}`
    await make(appliance.container.path(`${requests}/${id}.json`))
    expect(await answerTo(appliance, id)).toEqual({ result: 'refused', code })
    await isAtRest()
  })

  it('takes away a request whose name is no id, and answers nothing', async () => {
    const before = await readdir(appliance.container.path(`${paths.runtime}/answers`))
    await placeRequest(appliance, '{"verb":"reboot"}', 'no id')
    const folder = appliance.container.path(requests)
    await pollUntil('the request is taken away', async () => (await readdir(folder)).length === 0)
    await isAtRest()
    expect(await readdir(appliance.container.path(`${paths.runtime}/answers`))).toEqual(before)
  })

  it('runs the handler once for one request, and stays ready for the next', async () => {
    await isAtRest()
    const before = await countRuns()
    await askRoot(appliance, { verb: 'run-hook', argument: 'mark' })
    await isAtRest()
    expect(await countRuns()).toBe(before + 1)
  })

  /** Nothing waits, nothing runs, nothing failed, and the folder is still watched. */
  async function isAtRest(): Promise<void> {
    await pollUntil('the handler has ended', async () => (await show(handler, 'ActiveState')) === 'inactive')
    expect(await readdir(appliance.container.path(requests))).toEqual([])
    expect(await readdir(appliance.container.path('/run/panorama-agent-root'))).toEqual([])
    expect(await show(pathUnit, 'ActiveState')).toBe('active')
    expect(await show(handler, 'Result')).toBe('success')
  }

  async function show(unit: string, property: string): Promise<string> {
    const { stdout } = await appliance.container.run('systemctl', 'show', '--value', '--property', property, unit)
    return stdout.trim()
  }

  async function countRuns(): Promise<number> {
    const { stdout } = await appliance.container.run('journalctl', '--no-pager', '-u', handler)
    return stdout.split('\n').filter((line) => line.includes(`Starting ${handler}`)).length
  }
})
