import * as z from 'zod'

export const absolutePath = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path')

export const fileName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'must be 1 to 64 characters of A-Z a-z 0-9 . _ -, starting with a letter or digit',
  )

/** Of a hook in /etc/panorama-agent/hooks. */
export const hookName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}$/, 'must be the name of a hook, without a path')

export const groupName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, 'must be the name of a group, not its number')

/** AWS IoT API Reference, "CreateRoleAlias". */
export const roleAlias = z
  .string()
  .regex(/^[\w=,@-]{1,128}$/, 'must be a role alias: 1 to 128 characters of A-Z a-z 0-9 _ = , @ -')
