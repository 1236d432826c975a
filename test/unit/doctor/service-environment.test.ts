import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { environmentFile, readServiceVariables } from '../../../agent/doctor/service-environment.ts'
import { asAnyUser } from '../../support/any-user.ts'
import { tempFolder } from '../../support/temp-folder.ts'

function printed(stdout: string, exitCode = 0) {
  return { ofManager: () => Promise.resolve({ exitCode, errorCode: undefined, stdout, stderr: '' }) }
}

const none = printed('')

test('reads lines of a file as systemd does, as far as proxies need it', () => {
  const text =
    '# A=no\n; B=no\nHTTPS_PROXY="http://dock:p%40@proxy:1"\r\n  no_proxy = x\nno_proxy=.a, .b\nC=\'d e\'\nD=\n'
  expect([...environmentFile(text)]).toEqual([
    ['HTTPS_PROXY', 'http://dock:p%40@proxy:1'],
    ['no_proxy', '.a, .b'],
    ['C', 'd e'],
    ['D', ''],
  ])
})

test('takes what comes later: of the manager, of the unit, of its files in their order, wildcards sorted', async () => {
  await using folder = await tempFolder()
  const path = (name: string): string => join(folder.path, name)
  await mkdir(path('more'))
  await writeFile(path('first'), 'A=first\nB=first\nC=first\nD=first\n')
  await writeFile(path('more/2.env'), 'C=two\n')
  await writeFile(path('more/1.env'), 'B=one\nC=one\n')
  await writeFile(path('more/other'), 'D=other\n')
  const unit = {
    environment: new Map([['A', 'unit'], ['E', 'unit']]), // prettier-ignore
    environmentFiles: [path('absent'), path('first'), path('more/*.env'), path('nowhere/*.env')],
  }
  const { variables, unseen } = await readServiceVariables(unit, printed('E=manager\nF=manager\n'))
  expect(Object.fromEntries(variables)).toEqual({
    A: 'first',
    B: 'one',
    C: 'two',
    D: 'first',
    E: 'unit',
    F: 'manager',
  })
  expect(unseen).toEqual([])
  expect((await readServiceVariables(unit, printed('F=manager\n', 1))).variables.has('F')).toBe(false)
})

test('names the files that this user may not read, and goes on with the others', async () => {
  await using folder = await tempFolder()
  const path = (name: string): string => join(folder.path, name)
  await mkdir(path('closed'), { mode: 0 })
  await writeFile(path('secret.env'), 'HTTPS_PROXY=http://x\n', { mode: 0 })
  await writeFile(path('open.env'), 'A=1\n', { mode: 0o644 })
  const environmentFiles = [path('secret.env'), path('closed/*.env'), path('closed/a'), path('open.env')]
  const { variables, unseen } = await asAnyUser(folder.path, () =>
    readServiceVariables({ environment: new Map(), environmentFiles }, none),
  )
  expect(Object.fromEntries(variables)).toEqual({ A: '1' })
  expect(unseen).toEqual([path('secret.env'), path('closed/*.env'), path('closed/a')])
})
