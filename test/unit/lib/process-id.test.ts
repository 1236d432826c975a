import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import { processId } from '../../../agent/lib/process-id.ts'

test('is the same however often a process asks, and another in each process', async () => {
  const script = `import { processId } from '${join(import.meta.dirname, '../../../agent/lib/process-id.ts')}'; console.log(processId())`
  const ask = async (): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])
    return stdout.trim()
  }
  const ids = [processId(), processId(), await ask(), await ask()]
  expect(ids[1]).toBe(ids[0])
  expect(new Set(ids).size).toBe(3)
})
