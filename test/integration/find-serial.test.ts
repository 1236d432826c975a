import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect, test } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const script = join(import.meta.dirname, '..', '..', 'systemd', 'find-serial')
const product = 'sys/class/dmi/id/product_serial'
const board = 'sys/class/dmi/id/board_serial'
const deviceTree = 'sys/firmware/devicetree/base/serial-number'
const derived = 'm-00112233445566778899aabbccddeeff'

/** What the script leaves as the serial number of a machine with these files. */
async function serialOf(files: Readonly<Record<string, string>>): Promise<string> {
  await using folder = await tempFolder()
  const tools = join(folder.path, 'tools')
  await mkdir(tools)
  await writeFile(join(tools, 'systemd-id128'), `#!/bin/sh\necho ${derived.slice(2)}\n`)
  await chmod(join(tools, 'systemd-id128'), 0o755)
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true })
    await writeFile(join(folder.path, path), text)
  }
  const run = () => runCommand('env', ['-i', `PATH=${tools}:/usr/bin:/bin`, script, folder.path])
  await run()
  const file = join(folder.path, 'var/lib/panorama-agent-serial/serial')
  const serial = await readFile(file, 'utf8')
  await writeFile(join(folder.path, Object.keys(files)[0] ?? 'other'), 'OTHER-1')
  await run()
  expect(await readFile(file, 'utf8')).toBe(serial) // never replaced
  expect((await stat(file)).mode & 0o777).toBe(0o644)
  return serial.trim()
}

test.each<[string, Readonly<Record<string, string>>, string]>([
  ['the DMI serial number', { [product]: 'PF1ABC23\n' }, 'PF1ABC23'],
  ['what the agent takes of it', { [product]: ' /7XK/CN 12.3/\n' }, '7XK-CN-12-3'],
  ['64 characters at most', { [product]: 'A1'.repeat(50) }, 'A1'.repeat(32)],
  ['that of the board', { [product]: 'Default string\n', [board]: 'BRD-0042' }, 'BRD-0042'],
  ['that of the device tree', { [deviceTree]: '1421020012345\0' }, '1421020012345'],
  ['one made of the machine id', {}, derived],
])('takes %s', async (_, files, serial) => {
  expect(await serialOf(files)).toBe(serial)
})

test('takes none that a whole series of boards has', async () => {
  const placeholders = [
    'To Be Filled By O.E.M.',
    'Default string',
    '00000000',
    'FFFFFFFF',
    'xxxx-xxxx',
    'Not Specified',
    'Not Defined',
    'NotAvailable',
    'Unspecified',
    'Undefined',
    'No Serial',
    'Type2 - Board Serial Number',
    'BSN12345678901234567',
    'System Product Name',
  ]
  for (const text of [...placeholders, 'System Serial Number', 'None', 'N/A', '', '1', '0123456789', 'O.E.M.']) {
    expect(await serialOf({ [product]: `${text}\n` }), text).toBe(derived)
  }
})

test('leaves a serial number that somebody wrote', async () => {
  const file = 'var/lib/panorama-agent-serial/serial'
  expect(await serialOf({ [product]: 'PF1ABC23', [file]: 'MINE\n' })).toBe('MINE')
})
