import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ApplicationFiles } from '../../../agent/credentials/application-files.ts'
import { isToken } from '../../../agent/credentials/application-token.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const ownGid = process.getegid?.() ?? 0
const isRoot = process.getuid?.() === 0
if (!isRoot)
  console.log('skipped, because only root can give files to any group: changes of the group of an application')
const name = 'people-counter'

interface Made extends AsyncDisposable {
  readonly files: ApplicationFiles
  readonly folder: string
  readonly path: (file: string) => string
}

async function make(): Promise<Made> {
  const temporary = await tempFolder()
  const folder = join(temporary.path, 'run', 'applications')
  const files = new ApplicationFiles({ folder, port: 9912, region: 'us-west-2' })
  await files.prepare([name])
  return {
    files,
    folder,
    path: (file) => join(folder, name, file),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

async function modeOf(path: string): Promise<string> {
  const { mode, gid } = await stat(path)
  return `${(mode & 0o7777).toString(8)} ${gid}`
}

describe('the files of an application', () => {
  test('hold the token as it is sent, and what SDKs read from the environment, without quotes', async () => {
    await using made = await make()
    const token = await made.files.write(name, ownGid)
    expect(isToken(token)).toBe(true)
    expect(await readFile(made.path('token'), 'utf8')).toBe(token)
    expect((await readFile(made.path('aws.env'), 'utf8')).split('\n')).toEqual([
      'AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9912/v1/applications/people-counter',
      `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=${made.path('token')}`,
      `AWS_CONTAINER_AUTHORIZATION_TOKEN=${token}`,
      'AWS_REGION=us-west-2',
      'AWS_DEFAULT_REGION=us-west-2',
      '',
    ])
  })

  test('are open to one group alone, whatever the umask', async () => {
    const umask = process.umask(0)
    try {
      await using made = await make()
      await made.files.write(name, ownGid)
      expect(await modeOf(made.folder)).toBe(`755 ${ownGid}`)
      expect(await modeOf(made.path(''))).toBe(`750 ${ownGid}`)
      for (const file of ['token', 'aws.env']) expect(await modeOf(made.path(file))).toBe(`640 ${ownGid}`)
    } finally {
      process.umask(umask)
    }
  })

  test('stay as they are when they are right', async () => {
    await using made = await make()
    const token = await made.files.write(name, ownGid)
    const before = await Promise.all(['', 'token', 'aws.env'].map(async (file) => await stat(made.path(file))))
    await made.files.prepare([name])
    expect(await made.files.write(name, ownGid)).toBe(token)
    const after = await Promise.all(['', 'token', 'aws.env'].map(async (file) => await stat(made.path(file))))
    expect(after.map(({ ino, mtimeMs }) => [ino, mtimeMs])).toEqual(before.map(({ ino, mtimeMs }) => [ino, mtimeMs]))
  })

  test.each([
    {
      what: 'is empty',
      damage: async (path: string) => {
        await writeFile(path, '')
      },
    },
    {
      what: 'is cut short',
      damage: async (path: string) => {
        await writeFile(path, 'abc')
      },
    },
    {
      what: 'got a line break',
      damage: async (path: string) => {
        await writeFile(path, `${'a'.repeat(43)}\n`)
      },
    },
    {
      what: 'can be read by others',
      damage: async (path: string) => {
        await chmod(path, 0o644)
      },
    },
  ])('have a new token when the old one $what', async ({ damage }) => {
    await using made = await make()
    const before = await made.files.write(name, ownGid)
    await damage(made.path('token'))
    const token = await made.files.write(name, ownGid)
    expect(token).not.toBe(before)
    expect(await readFile(made.path('token'), 'utf8')).toBe(token)
    expect(await readFile(made.path('aws.env'), 'utf8')).toContain(`AWS_CONTAINER_AUTHORIZATION_TOKEN=${token}\n`)
  })

  test('have a new token when others could have looked into the folder', async () => {
    await using made = await make()
    const before = await made.files.write(name, ownGid)
    await chmod(made.path(''), 0o755)
    expect(await made.files.write(name, ownGid)).not.toBe(before)
    expect(await modeOf(made.path(''))).toBe(`750 ${ownGid}`)
  })

  test('keep the token when aws.env alone is damaged', async () => {
    await using made = await make()
    const token = await made.files.write(name, ownGid)
    const before = await readFile(made.path('aws.env'), 'utf8')
    await writeFile(made.path('aws.env'), 'AWS_REGION=mars\n')
    expect(await made.files.write(name, ownGid)).toBe(token)
    expect(await readFile(made.path('aws.env'), 'utf8')).toBe(before)
  })

  test('take the place of whatever else is there, and never follow a link', async () => {
    await using made = await make()
    const elsewhere = join(made.folder, '..', 'elsewhere')
    await mkdir(elsewhere)
    await symlink(elsewhere, made.path(''))
    await made.files.write(name, ownGid)
    expect(await readdir(elsewhere)).toEqual([])
    await mkdir(join(made.folder, 'other', 'token'), { recursive: true })
    expect(isToken(await made.files.write('other', ownGid))).toBe(true)
  })

  test('have nothing beside them that a crash left', async () => {
    await using made = await make()
    await made.files.write(name, ownGid)
    await writeFile(made.path('.0123456789ab.tmp'), 'half')
    await made.files.write(name, ownGid)
    expect((await readdir(made.path(''))).sort()).toEqual(['aws.env', 'token'])
  })

  test('go with the application, and the folder with the last one', async () => {
    await using made = await make()
    await made.files.prepare([name, 'gate'])
    const before = await made.files.write(name, ownGid)
    await made.files.write('gate', ownGid)
    await made.files.prepare(['gate'])
    expect(await readdir(made.folder)).toEqual(['gate'])
    await made.files.prepare([])
    expect(await readdir(join(made.folder, '..'))).toEqual([])
    await made.files.prepare([])
    await made.files.prepare([name])
    expect(await made.files.write(name, ownGid)).not.toBe(before)
  })

  test('are not made anew where the file system gives another error than that they are missing', async () => {
    await using made = await make()
    await made.files.write(name, ownGid)
    const files = new ApplicationFiles({ folder: join(made.folder, 'a'.repeat(300)), port: 1, region: 'x' })
    await expect(files.write(name, ownGid)).rejects.toThrow('ENAMETOOLONG')
  })

  test.skipIf(!isRoot)('have a new token and the new group after a change of the group', async () => {
    await using made = await make()
    const before = await made.files.write(name, 4_711)
    expect(await made.files.write(name, 4_711)).toBe(before)
    expect(await made.files.write(name, 4_712)).not.toBe(before)
    expect(await modeOf(made.path(''))).toBe('750 4712')
    for (const file of ['token', 'aws.env']) expect(await modeOf(made.path(file))).toBe('640 4712')
    await chown(made.path('token'), -1, 4_713)
    const afterwards = await made.files.write(name, 4_712)
    expect(afterwards).not.toBe(before)
    expect(await modeOf(made.path('token'))).toBe('640 4712')
  })
})
