import * as z from 'zod'

import { fileName, groupName, roleAlias } from './config-text.ts'
import { uniqueNames } from './unique-names.ts'

const application = z.strictObject({
  name: fileName.describe('The folder <runtime>/applications/<name>, with the token and aws.env in it.'),
  roleAlias: roleAlias.describe(
    'The role alias of AWS IoT that leads to the role of this application, and of no other.',
  ),
  group: groupName.describe(
    'Whoever is in it gets the credentials. A group in /etc/group that the agent is in, best one of this application alone.',
  ),
})

export const applicationsSection = z.array(application).max(32).default([]).superRefine(uniqueNames)

export const applicationCredentialsSection = z
  .strictObject({
    port: z
      .int()
      .min(1024)
      .max(65_535)
      .default(9912)
      .describe('On 127.0.0.1, where applications ask for credentials; closed where no application is configured.'),
  })
  .prefault({})

interface Checked {
  readonly role: { readonly alias: string }
  readonly applications: readonly { readonly name: string; readonly roleAlias: string }[]
  readonly paths: { readonly runtime: string }
}

/** Nobody gets the role of the appliance, nor that of another application; and what stands in aws.env needs no quotes. */
export function checkApplications({ role, applications, paths }: Checked, context: z.RefinementCtx): void {
  const owners = new Map([[role.alias, 'the appliance']])
  for (const [index, { name, roleAlias: alias }] of applications.entries()) {
    const owner = owners.get(alias)
    if (owner !== undefined) {
      const message = `is the role alias of ${owner}: each application needs one of its own, which leads to a role of its own`
      context.addIssue({ code: 'custom', path: ['applications', index, 'roleAlias'], message })
    }
    owners.set(alias, `the application "${name}"`)
  }
  if (applications.length > 0 && !/^[A-Za-z0-9._/-]*$/.test(paths.runtime)) {
    const message = 'must be made of A-Z a-z 0-9 . _ - / where there are applications: it stands in their environment'
    context.addIssue({ code: 'custom', path: ['paths', 'runtime'], message })
  }
}
