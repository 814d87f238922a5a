import { AccountFacts } from '../services/accounts/account-facts.ts'
import { AdminAccounts } from '../services/accounts/admin-accounts.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Core } from './assemble-core.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What administrators do to accounts. */
export interface AdministrationServices {
  readonly adminAccounts: AdminAccounts
  readonly accountFacts: AccountFacts
}

/** Wires what administrators see of accounts and do to them. */
export function assembleAdministration(
  core: Core,
  deps: { readonly accounts: AccountServices; readonly userData: UserDataServices },
): AdministrationServices {
  const { database, clock, random, serverName } = core
  const { caches, accounts, registration, passwords, sessions } = deps.accounts
  return {
    adminAccounts: new AdminAccounts({
      database,
      clock,
      random,
      caches,
      accounts,
      registration,
      passwords,
      sessions,
      profiles: deps.userData.profiles,
      serverName,
    }),
    accountFacts: new AccountFacts({ database, clock }),
  }
}
