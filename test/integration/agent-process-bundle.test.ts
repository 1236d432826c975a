import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import type { Cloud } from '../cloud/cloud.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'

const root = join(import.meta.dirname, '..', '..')

it('does the main job from its bundle, also where the native part of the MQTT client is missing', async () => {
  const config = ({ cloud }: { readonly cloud: Cloud }) => ({ endpoints: { ...cloud.endpoints, mqtt: 'localhost:1' } })
  await using site = await createAgentSite({ config })
  await using folder = await tempFolder()
  const bundle = join(folder.path, 'dist', 'native', 'agent.mjs')
  // the build writes below the folder where it runs, and dist/ of the checkout may be in use
  await symlink(join(root, 'agent'), join(folder.path, 'agent'))
  await runCommand('env', ['-C', folder.path, process.execPath, join(root, 'scripts', 'build.ts')])
  expect((await runCommand(process.execPath, [bundle, '--version'])).stdout).toBe(`${agentVersion}\n`)
  await site.publish('a', 'content')
  site.setPassword('first')
  const agent = site.start({ command: [process.execPath, bundle] })
  await agent.until(({ artifacts, cameras, logs }) =>
    [...artifacts, ...cameras, logs].every(({ state }) => state === 'ok'),
  )
  expect(await readFile(join(site.artifactFolder, 'current', 'a'), 'utf8')).toBe('content')
  expect(JSON.parse(await readFile(site.cameraFile, 'utf8'))).toMatchObject({ password: 'first' })
  expect(agent.output).toMatch(
    /ERROR there are no jobs and no reported state error="AgentError: the MQTT client cannot be loaded/,
  )
  expect(await agent.stop()).toEqual({ code: 0, signal: null })
})
